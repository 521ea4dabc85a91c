package main

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// engineAges returns status and age of each engine.
func (p *process) engineAges(t *testing.T) map[string]engineAge {
	t.Helper()
	var answer struct {
		Engines []struct {
			EngineID string `json:"engine_id"`
			engineAge
		}
	}
	p.get(t, "/v1/engines", &answer)
	ages := map[string]engineAge{}
	for _, e := range answer.Engines {
		ages[e.EngineID] = e.engineAge
	}
	return ages
}

type engineAge struct {
	Status       string
	AgeMs        float64 `json:"age_ms"`
	ReceivedAtMs int64   `json:"received_at_ms"`
}

// pushFor sends states of an engine every 50 ms, and returns their number, and when the first and the last were sent.
func (p *process) pushFor(t *testing.T, engineID string, d time.Duration) (n uint64, first, last time.Time) {
	t.Helper()
	c := p.dial(t)
	first = time.Now()
	for tick := time.NewTicker(50 * time.Millisecond); time.Since(first) < d; <-tick.C {
		last = time.Now()
		if _, err := fmt.Fprintf(c, `{"engine_id":%q,"timestamp_ms":%d,"latency_pred_ms":1,"scheduling_mode":"balanced",`+
			`"pending_tokens_total":1,"kv_cache_free_blocks":1,"kv_cache_total_blocks":1,"engine_capacity":1}`,
			engineID, last.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n, first, last
}

// busy is how long a machine may take from the moment that a test notes as that of sending to the sending. It is less than
// half of what waits below.
const busy = time.Second

// A gateway that was frozen does not take what waited for news: ages, statuses and the log go by the arrival.
func TestFrozenGateway(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=1000")
	before, _, _ := p.pushFor(t, "before", 200*time.Millisecond)
	p.awaitStats(t, "the first engine", func(s stats) bool { return s.TotalEngines == 1 })
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	while, first, last := p.pushFor(t, "while", 500*time.Millisecond)
	time.Sleep(2500 * time.Millisecond) // the freeze
	live := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.awaitStats(t, "what waited", func(s stats) bool { return s.TotalEngines == 2 && s.Applied == before+while })
	e := p.engineAges(t)["while"]
	truth := live.Sub(last)
	if age := time.Duration(e.AgeMs * 1e6); e.Status != "stale" || age < truth-busy {
		t.Errorf("an engine that fell silent %v before the gateway went on is %s, %v old", truth, e.Status, age)
	}
	if at := time.UnixMilli(e.ReceivedAtMs); at.Before(last.Add(-mmsg.AwayLimit)) || at.After(last.Add(busy)) {
		t.Errorf("received at %v, sent at %v", at, last)
	}
	p.pushFor(t, "before", 100*time.Millisecond)
	p.awaitStats(t, "news", func(stats) bool { return p.engineAges(t)["before"].Status == "fresh" })

	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	previous := 0.0
	for _, line := range p.readLog(t) {
		var said wireState
		if err := json.Unmarshal(line.State, &said); err != nil {
			t.Fatal(err)
		}
		if said.EngineID != "while" {
			continue
		}
		at, sent := time.UnixMicro(int64(line.Timestamp*1e6)), time.UnixMilli(said.TimestampMs)
		if line.Timestamp < previous || at.Before(first.Add(-mmsg.AwayLimit)) || at.Sub(sent) > busy {
			t.Errorf("sent at %v, logged as of %v", sent, at)
		}
		previous = line.Timestamp
	}
	if previous == 0 {
		t.Error("nothing of it is in the log")
	}
}

// What waits in passed sockets while no gateway runs is as old as it is when the next one reads it.
func TestPassedSocketsKeepArrivals(t *testing.T) {
	t.Parallel()
	h := newHolder(t, 2)
	p := h.start(t, "STALE_THRESHOLD=1000")
	p.pushFor(t, "before", 100*time.Millisecond)
	p.awaitStats(t, "the first engine", func(s stats) bool { return s.TotalEngines == 1 })
	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	between, _, last := p.pushFor(t, "between", 300*time.Millisecond)
	time.Sleep(2500 * time.Millisecond) // nobody reads
	next := h.start(t, "STALE_THRESHOLD=1000")
	next.awaitStats(t, "what waited", func(s stats) bool { return s.TotalEngines == 1 && s.Applied == between })
	truth := time.Since(last)
	e := next.engineAges(t)["between"]
	if age := time.Duration(e.AgeMs * 1e6); e.Status != "stale" || age < truth-busy {
		t.Errorf("an engine that fell silent %v ago is %s, %v old", truth, e.Status, age)
	}
}
