package acceptance

import (
	"strconv"
	"strings"
	"time"
)

func (r *row) limits() {
	r.guide("directory")
	r.guide("limits")
	r.awaitStart()

	cpu, begin := r.metric("process_cpu_seconds_total"), time.Now()
	report := r.guide("rated-load")
	cpu = (r.metric("process_cpu_seconds_total") - cpu) / time.Since(begin).Seconds()
	s := r.awaitStart()
	if s.KernelDropped != 0 || s.LogDropped != 0 || r.figure(report, "received") != r.figure(report, "sent") {
		r.Errorf("lost at the rated load: %+v", s)
	}
	rated := r.throttled(r.guide("throttled"))
	r.guide("docker-stats")
	r.saw("At the rated load: sent %d, received %d, logged %d, dropped by the kernel 0; throttled in %d of %d periods, for %v in all. "+
		"Sockets: %d. On average %.1f %% of a processor and, at the end, %.0f MB resident.",
		r.figure(report, "sent"), r.figure(report, "received"), r.figure(report, "logged"), rated.times, rated.periods, rated.time, r.said("state gateway started")[0].count("sockets"),
		100*cpu, r.metric("process_resident_memory_bytes")/megabyte)

	// The quota shows only when there is more to do than it allows; a machine that is busy otherwise may need a second flood.
	var flood string
	for begin := time.Now(); ; {
		flood = r.guide("flood")
		if held := r.throttled(r.guide("throttled")); held.times > rated.times {
			r.saw("In the flood: sent %d (%d/s), received %d, dropped by the kernel and counted %d; throttled in %d of %d periods, for %v.",
				r.figure(flood, "sent"), r.figure(flood, "rate"), r.figure(flood, "received"), r.figure(flood, "kernel_dropped"),
				held.times-rated.times, held.periods-rated.periods, held.time-rated.time)
			break
		}
		if time.Since(begin) > limit {
			r.Fatalf("the quota never held the gateway back")
		}
	}
	if state := r.docker("container", "inspect", "-f", "{{.State.Running}} {{.State.OOMKilled}} {{.RestartCount}}", r.container); state != "true false 0" {
		r.Errorf("running, killed for want of memory, restarts: %s", state)
	}
	r.guide("docker-stats")
	r.saw("Never killed for want of memory: %.0f MB resident after the flood.", r.metric("process_resident_memory_bytes")/megabyte)

	after := r.guide("rated-load")
	if r.figure(after, "received") != r.figure(after, "sent") || r.figure(after, "kernel_dropped") != 0 {
		r.Errorf("lost after the flood:\n%s", after)
	}
	r.saw("After the flood, at the rated load again: sent %d, received %d.",
		r.figure(after, "sent"), r.figure(after, "received"))
	r.stopAndRemoveAfterFlood()
}

// stopAndRemoveAfterFlood is stopAndRemove for a gateway whose log may have dropped lines, each counted.
func (r *row) stopAndRemoveAfterFlood() {
	r.guide("stop")
	m := r.said("final figures")
	if len(m) != 1 || m[0].count("applied") != m[0].count("logged")+m[0].count("log_dropped") || m[0].count("log_queued") != 0 {
		r.Errorf("the figures do not add up: %v", m)
	}
	r.guide("remove")
}

// throttling is what the quota did since the container's start.
type throttling struct {
	periods, times uint64
	time           time.Duration
}

// throttled reads cpu.stat of control groups of version 1 or 2.
func (r *row) throttled(text string) (t throttling) {
	r.Helper()
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			r.Fatalf("%q in %s", line, text)
		}
		switch name {
		case "nr_periods":
			t.periods = n
		case "nr_throttled":
			t.times = n
		case "throttled_time":
			t.time = time.Duration(n).Round(time.Millisecond)
		case "throttled_usec":
			t.time = (time.Duration(n) * time.Microsecond).Round(time.Millisecond)
		}
	}
	if t.periods == 0 {
		r.Fatalf("no quota in force: %s", text)
	}
	return t
}
