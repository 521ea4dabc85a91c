package state

import (
	"math"
	"testing"
	"time"
)

// TestStatusEdges: stale is above the threshold, and no wall clock matters.
func TestStatusEdges(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name      string
		threshold time.Duration
		heartbeat bool // it has sent one
		noMerge   bool
		after     time.Duration
		stale     bool
	}{
		{"now", 2 * second, false, false, 0, false},
		{"at the threshold", 2 * second, false, false, 2 * second, false},
		{"above the threshold", 2 * second, false, false, 2*second + 1, true},
		{"long silent", 2 * second, false, false, time.Hour, true},
		{"read before it came", 2 * second, false, false, -second, false},
		{"beating, at 2.5 s", 2 * second, true, false, 2500 * time.Millisecond, false},
		{"beating, above 2.5 s", 2 * second, true, false, 2500*time.Millisecond + 1, true},
		{"beating, a larger threshold", 3 * second, true, false, 3 * second, false},
		{"beating, above a larger threshold", 3 * second, true, false, 3*second + 1, true},
		{"heartbeats are states like others", 2 * second, true, true, 2*second + 1, true},
		{"heartbeats are states like others, at the edge", 2 * second, true, true, 2 * second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEngine(Rules{StaleThreshold: c.threshold, HeartbeatMerge: !c.noMerge})
			if c.heartbeat {
				e.send(t, beat(1000), 0)
			}
			e.send(t, load(1001, 7), 0)
			now := Instant{Mono: e.now.Mono + int64(c.after), Wall: -1}
			if got := e.h.Status(now, &e.r); (got == Stale) != c.stale || got == Initializing || got == Idle {
				t.Errorf("%v", got)
			}
			if got, want := e.h.Age(now, &e.r), max(c.after, 0); got != want {
				t.Errorf("age %v", got)
			}
		})
	}
}

// TestSenderClock: with CLOCK=sender the age is the first gateway's, from the newest applied timestamp.
func TestSenderClock(t *testing.T) {
	r := Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, SenderClock: true}
	const ms = int64(time.Millisecond)
	e := newEngine(r)
	e.send(t, load(10_000, 1), 0)
	for _, c := range []struct {
		wall   int64 // ns
		age    time.Duration
		status Status
	}{
		{10_000 * ms, 0, Fresh},
		{12_000 * ms, 2 * time.Second, Fresh},
		{12_000*ms + 1, 2*time.Second + 1, Stale},
		{4_000 * ms, -6 * time.Second, Fresh}, // the sender is ahead: negative, and fresh
	} {
		now := Instant{Mono: e.now.Mono + int64(time.Hour), Wall: c.wall} // silent for an hour by the other clock
		if age, status := e.h.Age(now, &e.r), e.h.Status(now, &e.r); age != c.age || status != c.status {
			t.Errorf("at %d: age %v, %v; want %v, %v", c.wall, age, status, c.age, c.status)
		}
		if e.h.Silence(now) != time.Hour {
			t.Errorf("silence %v, which removal goes by", e.h.Silence(now))
		}
	}
	// The newest applied state counts, though a heartbeat that was merged is not served.
	e.send(t, beat(10_500), 100*time.Millisecond)
	if e.h.TimestampMs != 10_000 || e.h.Age(Instant{Wall: 11_000 * ms}, &e.r) != 500*time.Millisecond {
		t.Errorf("served %d, age %v", e.h.TimestampMs, e.h.Age(Instant{Wall: 11_000 * ms}, &e.r))
	}
	// An older state on an engine that is stale by its sender's clock only is out of order: order goes by the gateway's.
	if got := e.send(t, load(9_000, 2), 100*time.Millisecond); got != OutOfOrder {
		t.Errorf("outcome %v", got)
	}
	// Timestamps that no int64 of nanoseconds holds.
	e.send(t, load(MaxInteger, 3), 0)
	if age := e.h.Age(Instant{Wall: 1755532567 * int64(time.Second)}, &e.r); age > -200*365*24*time.Hour {
		t.Errorf("age %v of a state of the year 287,000", age)
	}
}

func TestStatuses(t *testing.T) {
	e := newEngine(Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true})
	check := func(when string, want Status) {
		t.Helper()
		if got := e.h.Status(e.now, &e.r); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	e.send(t, beat(1000), 0)
	check("after its init state", Initializing)
	e.send(t, beat(3000), 2*time.Second)
	check("after a heartbeat", Initializing)
	e.now.Mono += int64(2501 * time.Millisecond)
	check("initializing, then silent", Stale)
	e.send(t, load(6000, 1), 0)
	check("after a real state", Fresh)
	e.send(t, beat(6900), 900*time.Millisecond)
	check("a heartbeat under load", Fresh)
	e.send(t, beat(8000), 1100*time.Millisecond)
	check("a heartbeat long after the real state", Idle)
	e.now.Mono += int64(2501 * time.Millisecond)
	check("idle, then silent", Stale)
	e.send(t, beat(10_600), 0)
	check("it beats again", Idle)
	e.send(t, load(10_700, 2), 100*time.Millisecond)
	check("it works again", Fresh)
}

func TestNames(t *testing.T) {
	for i, want := range []string{"accepted", "empty", "too_large", "json", "duplicate_field", "missing_field", "type", "range", "engine_limit"} {
		if got := Reason(i).String(); got != want {
			t.Errorf("reason %d: %q, want %q", i, got, want)
		}
	}
	if Reasons != 9 || EngineLimit != 8 {
		t.Errorf("%d reasons", Reasons)
	}
	for i, want := range []string{"initializing", "fresh", "idle", "stale"} {
		if got := Status(i).String(); got != want {
			t.Errorf("status %d: %q, want %q", i, got, want)
		}
	}
	if Statuses != 4 {
		t.Errorf("%d statuses", Statuses)
	}
}

func TestIsHeartbeat(t *testing.T) {
	s := beat(5)
	if !s.IsHeartbeat() {
		t.Error("a heartbeat is none")
	}
	s.EngineCapacity, s.LatencyPredMs = math.Copysign(0, -1), math.Copysign(0, -1)
	if !s.IsHeartbeat() {
		t.Error("-0 is not 0")
	}
	for i, change := range []func(*State){
		func(s *State) { s.LatencyPredMs = 5e-324 },
		func(s *State) { s.SchedulingMode = "Latency_optimized" },
		func(s *State) { s.PendingTokensTotal = 1 },
		func(s *State) { s.KVCacheFreeBlocks = 0 },
		func(s *State) { s.KVCacheTotalBlocks = 0 },
		func(s *State) { s.EngineCapacity = 5e-324 },
	} {
		s := beat(5)
		if change(&s); s.IsHeartbeat() {
			t.Errorf("change %d: still a heartbeat", i)
		}
	}
}
