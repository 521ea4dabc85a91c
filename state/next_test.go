package state

import (
	"net/netip"
	"testing"
	"time"
)

// engine is one engine that a test sends states to, on a clock that it moves.
type engine struct {
	h      Held
	m      Memory
	r      Rules
	now    Instant
	source netip.AddrPort
	known  bool
}

func newEngine(r Rules) *engine {
	return &engine{r: r, now: Instant{Mono: int64(time.Minute), Wall: int64(time.Hour)}, source: netip.MustParseAddrPort("192.0.2.7:4242")}
}

// send lets in arrive so long after the state before, and returns its outcome. It checks what holds for every outcome.
func (e *engine) send(t *testing.T, in State, after time.Duration) Outcome {
	t.Helper()
	e.now.Mono += int64(after)
	e.now.Wall += int64(after)
	before := e.h
	var outcome Outcome
	if e.known {
		outcome = e.h.Next(&e.m, &in, e.source, e.now, &e.r)
	} else {
		outcome = e.h.First(&e.m, &in, e.source, e.now, &e.r)
	}
	e.known = true
	if outcome&Applied == 0 {
		before.Conflicted = e.h.Conflicted
		if e.h != before {
			t.Errorf("outcome %b, but held %+v became %+v", outcome, before, e.h)
		}
	} else if e.h.Received != e.now || e.h.Source != e.source || e.h.NewestTimestampMs != in.TimestampMs {
		t.Errorf("applied, but held %+v", e.h)
	}
	return outcome
}

// load returns a real state; another n is another content.
func load(timestamp int64, n int64) State {
	return State{
		EngineID: "http://a:8000", TimestampMs: timestamp, LatencyPredMs: float64(n) + 0.5, SchedulingMode: "balanced",
		PendingTokensTotal: n, KVCacheFreeBlocks: 100 + n, KVCacheTotalBlocks: 4096, EngineCapacity: 50_000,
	}
}

func beat(timestamp int64) State {
	return State{
		EngineID: "http://a:8000", TimestampMs: timestamp, SchedulingMode: "latency_optimized",
		KVCacheFreeBlocks: Unknown, KVCacheTotalBlocks: Unknown,
	}
}

// step is one arrival of a script: what comes how long after the one before, and what must become of it.
type step struct {
	after  time.Duration
	in     State
	want   Outcome
	served int64 // timestamp_ms
}

const (
	reset   = Applied | ClockReset
	applied = Applied
	beats   = Applied | Heartbeat
	initial = Applied | Heartbeat | Initialized
)

func TestOrder(t *testing.T) {
	usual := Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true}
	literal := Rules{StaleThreshold: 2 * time.Second}
	const tick, second = 100 * time.Millisecond, time.Second
	otherwise := func(change func(*State)) State {
		s := load(100, 1)
		change(&s)
		return s
	}
	resting := func(timestamp int64) State {
		s := load(timestamp, 1)
		s.LatencyPredMs, s.PendingTokensTotal = 0, 0
		return s
	}
	for _, c := range []struct {
		name  string
		rules Rules
		steps []step
	}{
		{"newer", usual, []step{
			{0, load(100, 1), applied, 100}, {tick, load(101, 1), applied, 101}, {tick, load(500, 2), applied, 500},
		}},
		{"timestamp 0 is a first state like any other", usual, []step{
			{0, load(0, 1), applied, 0}, {tick, load(0, 1), Duplicate, 0}, {tick, load(1, 1), applied, 1},
		}},
		{"equal: copies, and each field's other content", usual, []step{
			{0, load(100, 1), applied, 100}, {0, load(100, 1), Duplicate, 100}, {tick, load(100, 1), Duplicate, 100},
			{0, otherwise(func(s *State) { s.LatencyPredMs = 9 }), applied, 100},
			{0, load(100, 1), applied, 100},
			{0, otherwise(func(s *State) { s.SchedulingMode = "odd" }), applied, 100},
			{0, otherwise(func(s *State) { s.SchedulingMode = "odd" }), Duplicate, 100},
			{0, load(100, 1), applied, 100},
			{0, otherwise(func(s *State) { s.PendingTokensTotal = 9 }), applied, 100},
			{0, load(100, 1), applied, 100},
			{0, otherwise(func(s *State) { s.KVCacheFreeBlocks = 9 }), applied, 100},
			{0, load(100, 1), applied, 100},
			{0, otherwise(func(s *State) { s.KVCacheTotalBlocks = 9 }), applied, 100},
			{0, load(100, 1), applied, 100},
			{0, otherwise(func(s *State) { s.EngineCapacity = 9 }), applied, 100},
		}},
		{"a duplicate on a stale engine is one still", usual, []step{
			{0, load(100, 1), applied, 100}, {time.Hour, load(100, 1), Duplicate, 100},
		}},
		{"a heartbeat never replaces a real state of its own millisecond", usual, []step{
			{0, load(100, 1), applied, 100}, {0, beat(100), Duplicate, 100}, {0, beat(100), Duplicate, 100},
			{5 * second, beat(100), Duplicate, 100},
		}},
		{"a real state replaces a heartbeat of its own millisecond", usual, []step{
			{0, beat(100), initial, 100}, {0, beat(100), Duplicate, 100},
			{0, load(100, 1), applied, 100}, {0, beat(100), Duplicate, 100}, {0, load(100, 1), Duplicate, 100},
			{tick, beat(200), beats, 100}, {0, beat(200), Duplicate, 100}, {tick, load(200, 2), applied, 200},
		}},
		{"a real state like the idle engine that is served, in the heartbeat's millisecond", usual, []step{
			{0, load(100, 1), applied, 100}, {1100 * time.Millisecond, beat(1200), beats, 1200},
			{0, resting(1200), applied, 1200}, {0, resting(1200), Duplicate, 1200},
		}},
		{"a heartbeat of a real state's millisecond, without merging", literal, []step{
			{0, load(100, 1), applied, 100}, {0, beat(100), applied, 100}, {0, beat(100), Duplicate, 100}, {0, load(100, 1), applied, 100},
		}},
		{"out of order", usual, []step{
			{0, load(100, 1), applied, 100}, {tick, load(99, 1), OutOfOrder, 100}, {tick, load(98, 1), OutOfOrder, 100},
			{tick, load(97, 1), OutOfOrder, 100}, {tick, load(96, 1), OutOfOrder, 100}, {tick, load(101, 1), applied, 101},
		}},
		{"ordering goes by a heartbeat that is not served", usual, []step{
			{0, load(100, 1), applied, 100}, {tick, beat(200), beats, 100}, {tick, load(150, 2), OutOfOrder, 100}, {tick, load(201, 3), applied, 201},
		}},
		{"a clock set back", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{tick, load(300, 4), reset, 300}, {tick, load(400, 5), applied, 400},
		}},
		{"a clock set back, broadcast's three copies", usual, []step{
			{0, load(5000, 1), applied, 5000}, {0, load(5000, 1), Duplicate, 5000}, {0, load(5000, 1), Duplicate, 5000},
			{tick, load(100, 2), OutOfOrder, 5000}, {0, load(100, 2), OutOfOrder, 5000}, {0, load(100, 2), OutOfOrder, 5000},
			{tick, load(200, 3), OutOfOrder, 5000}, {0, load(200, 3), OutOfOrder, 5000}, {0, load(200, 3), OutOfOrder, 5000},
			{tick, load(300, 4), reset, 300}, {0, load(300, 4), Duplicate, 300}, {0, load(300, 4), Duplicate, 300},
		}},
		{"a clock set back, late copies", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{0, load(100, 2), OutOfOrder, 5000}, {0, load(200, 3), OutOfOrder, 5000}, {0, load(5000, 1), Duplicate, 5000},
			{tick, load(300, 4), reset, 300},
		}},
		{"a clock set back, a heartbeat in a state's millisecond", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{0, beat(200), OutOfOrder, 5000}, {tick, load(300, 4), reset, 300},
		}},
		{"a clock set back, a heartbeat is the third", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{0, beat(300), reset | Heartbeat, 5000}, {tick, load(400, 4), applied, 400},
		}},
		{"the run is broken by a late one", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{tick, load(150, 4), OutOfOrder, 5000}, {tick, load(300, 5), OutOfOrder, 5000}, {tick, load(400, 6), reset, 400},
		}},
		{"the run is broken by another one of the same millisecond", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{tick, load(200, 4), OutOfOrder, 5000}, {tick, load(300, 5), OutOfOrder, 5000}, {tick, load(400, 6), reset, 400},
		}},
		{"the run ends when something is applied", usual, []step{
			{0, load(5000, 1), applied, 5000}, {tick, load(100, 2), OutOfOrder, 5000}, {tick, load(200, 3), OutOfOrder, 5000},
			{tick, load(5001, 4), applied, 5001}, {tick, load(300, 5), OutOfOrder, 5001}, {tick, load(400, 6), OutOfOrder, 5001},
			{tick, load(500, 7), reset, 500},
		}},
		{"after a reset a new run is needed", usual, []step{
			{0, load(5000, 1), applied, 5000}, {0, load(100, 2), OutOfOrder, 5000}, {0, load(200, 3), OutOfOrder, 5000},
			{0, load(300, 4), reset, 300}, {0, load(200, 3), OutOfOrder, 300}, {0, load(250, 3), OutOfOrder, 300}, {0, load(260, 3), reset, 260},
		}},
		{"older, on an engine at the threshold", usual, []step{
			{0, load(5000, 1), applied, 5000}, {2 * second, load(100, 2), OutOfOrder, 5000},
		}},
		{"older, on a stale engine", usual, []step{
			{0, load(5000, 1), applied, 5000}, {2*second + 1, load(100, 2), reset, 100}, {0, load(100, 2), Duplicate, 100},
		}},
		{"older, on a stale engine that was refreshed by nothing that was not applied", usual, []step{
			{0, load(5000, 1), applied, 5000}, {1900 * time.Millisecond, load(5000, 1), Duplicate, 5000},
			{50 * time.Millisecond, load(99, 2), OutOfOrder, 5000}, {50*time.Millisecond + 1, load(98, 2), reset, 98},
		}},
		{"older, on an engine that beats and is not yet stale", usual, []step{
			{0, beat(4900), initial, 4900}, {0, load(5000, 1), applied, 5000}, {2500 * time.Millisecond, load(100, 2), OutOfOrder, 5000},
			{1, load(99, 2), reset, 99},
		}},
		{"without merging heartbeats are states like any other", literal, []step{
			{0, beat(100), applied, 100}, {tick, load(200, 1), applied, 200}, {tick, beat(300), applied, 300},
			{5 * second, beat(200), reset, 200}, {2*second + 1, beat(100), reset, 100},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEngine(c.rules)
			for i, s := range c.steps {
				if got := e.send(t, s.in, s.after); got != s.want || e.h.TimestampMs != s.served {
					t.Fatalf("step %d: outcome %b, serves %d; want %b, %d", i, got, e.h.TimestampMs, s.want, s.served)
				}
			}
		})
	}
}

// TestHeartbeats goes through an engine's life: what is served after each state.
func TestHeartbeats(t *testing.T) {
	e := newEngine(Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true})
	idle := func(of State, at int64) State {
		of.TimestampMs, of.LatencyPredMs, of.PendingTokensTotal = at, 0, 0
		return of
	}
	const ms = time.Millisecond
	for i, c := range []struct {
		after  time.Duration
		in     State
		want   State
		status Status
		load   int64
	}{
		{0, beat(100), beat(100), Initializing, NoLoad},
		{2000 * ms, beat(2100), beat(2100), Initializing, NoLoad},
		{10 * ms, load(2110, 1), load(2110, 1), Fresh, 2110},
		{300 * ms, beat(2410), load(2110, 1), Fresh, 2110},
		{700 * ms, beat(3110), load(2110, 1), Fresh, 2110}, // half the threshold after the real state: still within
		{1, beat(3111), idle(load(2110, 1), 3111), Idle, 2110},
		{2000 * ms, beat(5111), idle(load(2110, 1), 5111), Idle, 2110},
		{10 * ms, load(5121, 2), load(5121, 2), Fresh, 5121},
		{200 * ms, load(5321, 3), load(5321, 3), Fresh, 5321},
		{1000*ms + 1, beat(6321), idle(load(5321, 3), 6321), Idle, 5321},
		{time.Hour, beat(7321), idle(load(5321, 3), 7321), Idle, 5321}, // restarted: what was known stays
		{100 * ms, load(7421, 4), load(7421, 4), Fresh, 7421},
		{100 * ms, beat(7521), load(7421, 4), Fresh, 7421},       // restarted at once: an init state
		{time.Hour, beat(1), idle(load(7421, 4), 1), Idle, 7421}, // its clock was set back meanwhile
		{100 * ms, load(101, 5), load(101, 5), Fresh, 101},
		{1000*ms + 1, beat(1101), idle(load(101, 5), 1101), Idle, 101},
		{0, load(1101, 6), load(1101, 6), Fresh, 1101},                   // in the heartbeat's millisecond
		{2400 * ms, beat(3501), idle(load(1101, 6), 3501), Idle, 1101},   // not stale before
		{500 * ms, load(3400, 7), idle(load(1101, 6), 3501), Idle, 1101}, // late: not applied
		{100 * ms, load(3502, 8), load(3502, 8), Fresh, 3502},
		{100 * ms, beat(3602), load(3502, 8), Fresh, 3502},
		{901 * ms, beat(4503), idle(load(3502, 8), 4503), Idle, 3502}, // counted from the real state
		{0, load(4503, 9), load(4503, 9), Fresh, 4503},
		{1000 * ms, beat(5503), load(4503, 9), Fresh, 4503}, // at the edge
		{1000*ms + 1, load(6504, 10), load(6504, 10), Fresh, 6504},
		{1000*ms + 1, load(6504, 10), load(6504, 10), Fresh, 6504}, // a copy refreshes nothing
		{1, beat(6505), idle(load(6504, 10), 6505), Idle, 6504},
		{2500*ms + 1, load(6505, 11), load(6505, 11), Fresh, 6505},
		{0, beat(6505), load(6505, 11), Fresh, 6505},
		{1001 * ms, beat(7506), idle(load(6505, 11), 7506), Idle, 6505},
	} {
		beatBefore, wasHeartbeat := e.h.HeartbeatWall, c.in.IsHeartbeat()
		outcome := e.send(t, c.in, c.after)
		if e.h.State != c.want || e.h.LoadTimestampMs != c.load {
			t.Fatalf("step %d: serves %+v, load %d\nwant %+v, %d", i, e.h.State, e.h.LoadTimestampMs, c.want, c.load)
		}
		if got := e.h.Status(e.now, &e.r); got != c.status {
			t.Fatalf("step %d: %v, want %v", i, got, c.status)
		}
		if outcome&Applied != 0 && wasHeartbeat {
			beatBefore = e.now.Wall
		}
		if e.h.HeartbeatWall != beatBefore || outcome&Heartbeat != 0 != (outcome&Applied != 0 && wasHeartbeat) {
			t.Fatalf("step %d: outcome %b, newest heartbeat at %d", i, outcome, e.h.HeartbeatWall)
		}
	}
}

// TestHeartbeatsAsSent: with HEARTBEAT_MERGE=false nothing tells a heartbeat from a real state.
func TestHeartbeatsAsSent(t *testing.T) {
	e := newEngine(Rules{StaleThreshold: 2 * time.Second})
	for i, in := range []State{beat(100), load(200, 1), beat(250), beat(260), load(300, 2), beat(300)} {
		if got := e.send(t, in, 100*time.Millisecond); got != Applied || e.h.State != in {
			t.Errorf("step %d: outcome %b, held %+v", i, got, e.h.State)
		}
		if e.h.LoadTimestampMs != in.TimestampMs || e.h.HeartbeatWall != 0 || e.h.Idle || e.h.Status(e.now, &e.r) != Fresh {
			t.Errorf("step %d: held %+v", i, e.h)
		}
	}
}

// TestFirstForgets: nothing of an engine before is left.
func TestFirstForgets(t *testing.T) {
	e := newEngine(Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true})
	other := netip.MustParseAddrPort("192.0.2.8:1")
	for i := range int64(6) {
		e.send(t, load(10_000+100*i, i), 100*time.Millisecond)
		e.source, other = other, e.source
	}
	e.send(t, beat(10_900), 3*time.Second)
	e.send(t, load(1, 1), 0)
	e.send(t, load(2, 1), 0)
	if !e.h.Conflict(e.now) || !e.h.Idle || e.h.HeartbeatWall == 0 {
		t.Fatalf("not the life that this test is about: %+v", e.h)
	}
	used := *e
	used.known = false
	fresh := newEngine(e.r)
	fresh.now, fresh.source = e.now, e.source
	for i, in := range []State{beat(3), load(2, 7), load(50, 2), load(49, 3), load(48, 4)} {
		a, b := used.send(t, in, time.Millisecond), fresh.send(t, in, time.Millisecond)
		if a != b || used.h != fresh.h {
			t.Errorf("step %d: outcome %b, held %+v; of a new engine %b, %+v", i, a, used.h, b, fresh.h)
		}
	}
}

// TestNextKeepsNoMemoryOfTheCaller: the run of older states outlives the buffer that their strings are in.
func TestNextKeepsNoMemoryOfTheCaller(t *testing.T) {
	e := newEngine(Rules{StaleThreshold: 2 * time.Second})
	e.send(t, load(5000, 1), 0)
	in := load(100, 2)
	e.send(t, in, 0)
	if kept := &e.m.older[0]; kept.EngineID != "" || kept.SchedulingMode != in.SchedulingMode {
		t.Errorf("kept %+v", kept)
	}
}
