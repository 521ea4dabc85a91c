package api

import (
	"fmt"
	"net/url"
	"time"

	"github.com/elrar/state-gateway/state"
)

// renderStats appends the counters: the first gateway's keys in its order, then this gateway's own. One call of
// Statistics makes the whole answer, so that its figures belong together.
func (a *api) renderStats(dst []byte, _ url.Values) ([]byte, *problem) {
	s := a.gateway.Statistics()
	now := a.gateway.Now()

	var invalid, kernelDropped uint64
	for r := state.Accepted + 1; int(r) < state.Reasons; r++ {
		invalid += s.Rejected[r]
	}
	for i := range s.Sockets {
		kernelDropped += s.Sockets[i].KernelDropped
	}
	// While datagrams arrive, a rejected one may be counted a moment before it counts as received.
	valid := s.Received - min(invalid, s.Received)
	total := 0
	for _, n := range s.Engines {
		total += n
	}

	o := object{dst}
	o.open()
	o.count("total_received", s.Received)
	o.count("valid_states", valid)
	o.count("invalid_states", invalid)
	o.count("unicast_received", s.Unicast)
	o.count("broadcast_received", s.Broadcast)
	o.name("last_received")
	o.dst = state.AppendFloat(o.dst, float64(s.LastReceived)/float64(time.Second))
	o.text("network_mode", a.info.NetworkMode)
	o.text("bind_address", a.info.BindAddress)
	o.integer("udp_port", int64(a.info.UDPPort))
	o.integer("stale_threshold_ms", a.info.Rules.StaleThreshold.Milliseconds())
	o.integer("active_engines", int64(total-s.Engines[state.Stale]))
	o.integer("total_engines", int64(total))
	o.text("valid_rate", percent(valid, s.Received))

	o.count("applied", s.Applied)
	o.count("duplicate", s.Duplicate)
	o.count("out_of_order", s.OutOfOrder)
	o.count("clock_reset", s.ClockReset)
	o.count("heartbeats", s.Heartbeats)
	o.count("initializations", s.Initialized)
	o.count("conflicts", s.Conflicts)
	o.count("removed", s.Removed)
	o.count("replaced", s.Replaced)
	o.name("rejected")
	o.open()
	for r := state.Accepted + 1; int(r) < state.Reasons; r++ {
		o.count(r.String(), s.Rejected[r])
	}
	o.close()
	o.count("kernel_dropped", kernelDropped)
	o.count("read_errors", s.ReadErrors)
	o.truth("log_enabled", s.Log.Enabled)
	o.count("logged", s.Log.Written)
	o.count("log_dropped", s.Log.Dropped())
	o.count("log_queued", s.Log.Queued)
	o.count("log_errors", s.Log.Errors)
	o.name("log_errors_by_op")
	o.open()
	for _, e := range s.Log.ErrorsByOp {
		o.count(e.Op, e.Errors)
	}
	o.close()
	o.count("log_reopens", s.Log.Reopens)
	o.count("log_torn_lines", s.Log.Torn)
	o.decimal("log_lag_seconds", s.Log.Lag.Seconds())
	if s.Log.Trouble == "" {
		o.null("log_trouble")
	} else {
		o.text("log_trouble", s.Log.Trouble)
	}
	o.decimal("uptime_seconds", time.Duration(now.Mono-a.info.Started.Mono).Seconds())
	o.text("version", a.info.Version)
	o.close()
	return o.dst, nil
}

// percent returns part of whole as the first gateway wrote it: "99.90%", and "0.00%" of nothing.
func percent(part, whole uint64) string {
	if whole == 0 {
		return "0.00%"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}
