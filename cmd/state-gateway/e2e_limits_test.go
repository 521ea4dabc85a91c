package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
)

// One source that floods takes nothing from the others while the kernel still delivers their datagrams.
func TestFloodingSourceLeavesOthersFresh(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	p := startGateway(t, "ENABLE_LOG=no")
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: p.udp, Engines: 10, Interval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	load, err := traffic.NewLoad(traffic.LoadConfig{Target: p.udp, Engines: 1, Senders: 1, Shape: traffic.Usual})
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	ctx, cancel := context.WithTimeout(t.Context(), soak(10*time.Second, 4*time.Second))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	go fleet.Run(ctx)
	p.awaitStats(t, "all eleven engines", func(s stats) bool { return s.TotalEngines == 11 })
	samples := 0
	for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; samples++ {
		<-tick.C
		var engines struct {
			Engines []struct {
				EngineID string `json:"engine_id"`
				Status   string
				AgeMs    float64 `json:"age_ms"`
			}
		}
		p.get(t, "/v1/engines", &engines)
		for _, e := range engines.Engines {
			if e.Status == "stale" {
				t.Errorf("%s is %s, %v ms old", e.EngineID, e.Status, e.AgeMs)
			}
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := p.awaitStats(t, "everything accounted for", func(s stats) bool {
		return s.TotalReceived+s.KernelDropped == load.Sent()+fleet.Sent()
	})
	t.Logf("%d samples beside %d datagrams of one source, %d dropped by the kernel", samples, load.Sent(), s.KernelDropped)
}

// memoryCgroup makes a control group that limits memory to so many bytes, and returns its folder.
func memoryCgroup(t *testing.T, limit int) string {
	t.Helper()
	needs.Root(t)
	for _, version := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max"},                   // version 2
	} {
		dir := filepath.Join(version.root, fmt.Sprintf("state-gateway-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			for deadline := time.Now().Add(5 * time.Second); os.Remove(dir) != nil && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond) // until the kernel has let go of the last process
			}
		})
		// Where no control group can be made, a container has an ordinary directory: there the file is not to be created.
		if f, err := os.OpenFile(filepath.Join(dir, version.file), os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString(strconv.Itoa(limit))
			f.Close()
			if err == nil {
				return dir
			}
		}
	}
	needs.Skip(t, "no control group for memory can be made here")
	return ""
}

// rss returns the resident memory of a process in bytes.
func rss(t *testing.T, pid int) int { return memoryOf(t, pid, "VmRSS") }

// memoryOf returns a figure of a process's memory in bytes, as Linux names it.
func memoryOf(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in %s", name, text)
	}
	kilobytes, _ := strconv.Atoi(string(match[1]))
	return kilobytes << 10
}

// 10,000 engines with their whole history, read by a client all the time, stay below 256 MiB and do not grow.
func TestMemoryLimit(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	if raceEnabled {
		t.Skip("the race detector multiplies the memory that is measured here")
	}
	dir := memoryCgroup(t, 256<<20)
	p := startGateway(t, "LOG_FILE="+os.DevNull)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(rate float64, d time.Duration) {
		t.Helper()
		load, err := traffic.NewLoad(traffic.LoadConfig{Target: p.udp, Engines: 10_000, Senders: 4, Rate: rate, Shape: traffic.Usual})
		if err != nil {
			t.Fatal(err)
		}
		defer load.Close()
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if err := load.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	fill := func() (full bool) {
		run(0, 2*time.Second)
		var h struct{ States []any }
		p.get(t, "/v1/history?engine_id=http://load-9999:8000&limit=1000", &h)
		return len(h.States) == 100
	}
	for begin := time.Now(); !fill(); {
		if time.Since(begin) > time.Minute {
			t.Fatal("the history is not full after a minute")
		}
	}
	stop, reads := make(chan struct{}), make(chan int)
	go func() { // a client that makes garbage
		for n := 0; ; n++ {
			select {
			case <-stop:
				reads <- n
				return
			case <-time.After(200 * time.Millisecond):
				if resp, err := http.Get(p.url + "/v1/engine-states"); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		}
	}()
	run(20_000, 5*time.Second)
	var samples []int
	for end := time.Now().Add(soak(20*time.Second, 8*time.Second)); time.Now().Before(end); {
		run(20_000, 2*time.Second)
		samples = append(samples, rss(t, p.cmd.Process.Pid))
	}
	close(stop)
	half := len(samples) / 2
	before, after := slices.Max(samples[:half]), slices.Max(samples[half:])
	t.Logf("resident memory with all histories full: at most %d MiB, then %d MiB; %d reads", before>>20, after>>20, <-reads)
	if after > 192<<20 || float64(after) > 1.1*float64(before) {
		t.Errorf("resident memory is not flat below 192 MiB: %v", samples)
	}
	s := p.awaitStats(t, "a settled log", func(s stats) bool { return s.LogQueued == 0 })
	if s.TotalEngines != 10_000 || s.identity() != "" || strings.Contains(p.said(), "panic") {
		t.Errorf("%+v %s", s, s.identity())
	}
}
