package shard

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/elrar/state-gateway/state"
)

// together runs f(0) … f(n-1) at once: none begins before all are there.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			f(i)
		})
	}
	done.Wait()
}

func TestUnknownEngine(t *testing.T) {
	table := New(Config{MaxEngines: 10, History: 10})
	if h, ok := table.Get(engine); ok || h != (state.Held{}) {
		t.Errorf("%+v, %v", h, ok)
	}
	if records, ok := table.History(engine, 10); ok || records != nil {
		t.Errorf("%v, %v", records, ok)
	}
	if interval, ok := table.PushInterval(engine); ok {
		t.Errorf("push interval %v", interval)
	}
	for range table.Range {
		t.Error("an engine in an empty table")
	}
	if n := table.Sweep(state.Instant{Mono: math.MaxInt64}, 0); n != 0 {
		t.Errorf("%d removed", n)
	}
}

func TestGrowth(t *testing.T) {
	const engines = 10_000
	table := New(Config{MaxEngines: engines})
	for i := range int64(engines) {
		mustApply(t, table, fmt.Sprint("engine ", i), i)
	}
	if n := table.Engines(); n != engines {
		t.Fatalf("%d engines", n)
	}
	least, most := engines, 0
	for i := range table.parts {
		x := table.parts[i].index.Load()
		least, most = min(least, x.used), max(most, x.used)
		if 2*x.used > len(x.cells) {
			t.Errorf("shard %d: %d of %d cells used", i, x.used, len(x.cells))
		}
	}
	if least < engines/shards/2 || most > engines/shards*2 {
		t.Errorf("%d to %d engines a shard", least, most)
	}
	for i := range int64(engines) {
		h, ok := table.Get(fmt.Sprint("engine ", i))
		if bad := inconsistent(&h); !ok || bad != "" || h.TimestampMs != i {
			t.Fatalf("engine %d: %v %s", i, ok, bad)
		}
	}
}

func TestRangeStops(t *testing.T) {
	table := New(Config{MaxEngines: 100})
	for i := range int64(100) {
		mustApply(t, table, fmt.Sprint("engine ", i), i)
	}
	n := 0
	for range table.Range {
		if n++; n == 30 {
			break
		}
	}
	if n != 30 {
		t.Errorf("%d engines", n)
	}
}

// patient are rules by which nobody is stale in a test's time.
var patient = state.Rules{StaleThreshold: time.Hour}

func TestMaxEngines(t *testing.T) {
	const limit = 100
	table := New(Config{MaxEngines: limit, History: 2, Rules: patient})
	outcomes := map[state.Outcome]int{}
	for i := range int64(250) {
		outcomes[apply(table, fmt.Sprint("engine ", i), i)]++
	}
	if outcomes[state.Applied] != limit || outcomes[state.Refused] != 150 || table.Engines() != limit {
		t.Errorf("outcomes %v, %d engines", outcomes, table.Engines())
	}
	for i := range int64(limit) {
		mustApply(t, table, fmt.Sprint("engine ", i), 1000+i) // who is known is not affected
	}
	if _, ok := table.Get("engine 100"); ok {
		t.Error("a refused engine is held")
	}
	if n := table.Sweep(state.Instant{Mono: 1050}, 0); n != 50 || table.Engines() != 50 {
		t.Fatalf("%d removed, %d left", n, table.Engines())
	}
	for i := range int64(51) {
		if got := apply(table, fmt.Sprint("later engine ", i), i); got == state.Applied != (i < 50) {
			t.Errorf("place %d of 50 that are free: outcome %d", i, got)
		}
	}
}

func TestNoEngines(t *testing.T) {
	if got := apply(New(Config{}), engine, 1); got != state.Refused {
		t.Errorf("outcome %d", got)
	}
}

// TestMaxEnginesAtOnce: however many new engines come at once, as many are taken as there are places, and every other
// state of a new engine is refused.
func TestMaxEnginesAtOnce(t *testing.T) {
	const limit, writers, each = 500, 8, 200
	for range 20 {
		table := New(Config{MaxEngines: limit, Rules: patient})
		var applied, refused atomic.Int64
		together(writers, func(w int) {
			for i := range int64(each) {
				id := fmt.Sprint("engine ", w, " ", i)
				outcome := apply(table, id, i)
				if _, held := table.Get(id); held != (outcome == state.Applied) {
					t.Errorf("outcome %d, but held: %v", outcome, held)
				}
				if outcome == state.Applied {
					applied.Add(1)
				} else {
					refused.Add(1)
				}
				if n := table.Engines(); n > limit {
					t.Errorf("%d engines", n)
				}
			}
		})
		if applied.Load() != limit || refused.Load() != writers*each-limit || table.Engines() != limit {
			t.Fatalf("%d applied, %d refused, %d engines", applied.Load(), refused.Load(), table.Engines())
		}
	}
}

// TestOneEngineAtOnce: one engine's first states from many sockets make one slot and are all applied, though the first
// of them takes the last place.
func TestOneEngineAtOnce(t *testing.T) {
	const writers, rounds = 16, 300
	table := New(Config{History: writers, Rules: anyOrder})
	for round := range rounds {
		id := fmt.Sprint("engine ", round)
		table.cfg.MaxEngines = round + 1 // this engine's place is always the last
		together(writers, func(i int) {
			if outcome := apply(table, id, int64(i)); outcome&state.Applied == 0 {
				t.Errorf("round %d: outcome %b", round, outcome)
			}
		})
		records, _ := table.History(id, writers)
		seen := map[int64]bool{}
		for _, r := range records {
			seen[r.TimestampMs] = true
		}
		if len(seen) != writers || table.Engines() != round+1 {
			t.Fatalf("round %d: %d states of %d, %d engines", round, len(seen), writers, table.Engines())
		}
		n := 0
		for h := range table.Range {
			if h.EngineID == id {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("round %d: %d slots", round, n)
		}
	}
}

func TestSweepEdge(t *testing.T) {
	const silence = 5 * time.Minute
	table := New(Config{MaxEngines: 10, History: 3})
	mustApply(t, table, "old", 1000)
	mustApply(t, table, "young", 1001)
	for _, c := range []struct {
		age     time.Duration // of the old one
		removed int
	}{{-5, 0}, {0, 0}, {silence - 1, 0}, {silence, 0}, {silence + 1, 1}, {silence + 1, 0}} {
		if n := table.Sweep(state.Instant{Mono: 1000 + int64(c.age)}, silence); n != c.removed {
			t.Errorf("age %v: %d removed, want %d", c.age, n, c.removed)
		}
	}
	if _, ok := table.Get("old"); ok {
		t.Error("still held")
	}
	if _, ok := table.History("old", 3); ok {
		t.Error("its history is still held")
	}
	if h, ok := table.Get("young"); !ok || inconsistent(&h) != "" {
		t.Error("the wrong one is gone")
	}
	if table.Engines() != 1 || table.Removed() != 1 {
		t.Errorf("%d engines, %d removed", table.Engines(), table.Removed())
	}
}

// TestComesBackClean: nothing of an engine's life before its removal is left when it comes back.
func TestComesBackClean(t *testing.T) {
	table := New(Config{MaxEngines: 1, History: 5})
	for life := range int64(5) {
		first := 1000*life + 1
		for n := first; n < first+20; n++ {
			mustApply(t, table, engine, n)
			h, ok := table.Get(engine)
			if bad := inconsistent(&h); !ok || bad != "" || h.TimestampMs != n {
				t.Fatalf("life %d: %v %s", life, ok, bad)
			}
			if interval, ok := table.PushInterval(engine); ok && n == first {
				t.Errorf("push interval %v after one state", interval)
			}
			records, _ := table.History(engine, 100)
			if bad := inconsistentRecords(engine, records); bad != "" || len(records) != min(5, int(n-first)+1) || records[0].TimestampMs < first {
				t.Fatalf("life %d: %d records, %s", life, len(records), bad)
			}
		}
		if n := table.Sweep(state.Instant{Mono: first + 20}, 0); n != 1 || table.Engines() != 0 || table.Removed() != uint64(life+1) {
			t.Fatalf("%d removed, %d engines, %d ever removed", n, table.Engines(), table.Removed())
		}
	}
}

// TestCallersBuffer: the strings of a state alias a buffer that its caller fills again, as the decoder does.
func TestCallersBuffer(t *testing.T) {
	table := New(Config{MaxEngines: 10, History: 10})
	buffer := make([]byte, 64)
	text := func(at int, s string) string {
		copy(buffer[at:], s)
		return unsafe.String(&buffer[at], len(s))
	}
	modes := []string{"first mode", "balanced", "other mode", "other mode", "balanced"}
	for i, mode := range modes {
		s, source, at := numbered("", int64(i))
		s.EngineID, s.SchedulingMode = text(0, "engine one"), text(32, mode)
		if outcome := table.Apply(&s, source, at); outcome != state.Applied {
			t.Fatal(outcome)
		}
		for k := range buffer {
			buffer[k] = '#'
		}
		h, ok := table.Get("engine one")
		if !ok || h.EngineID != "engine one" || h.SchedulingMode != mode {
			t.Fatalf("state %d: %v, %q, %q", i, ok, h.EngineID, h.SchedulingMode)
		}
		for h := range table.Range {
			if h.EngineID != "engine one" || h.SchedulingMode != mode {
				t.Fatalf("state %d: %q, %q", i, h.EngineID, h.SchedulingMode)
			}
		}
	}
	records, _ := table.History("engine one", 10)
	if len(records) != len(modes) {
		t.Fatalf("%d records", len(records))
	}
	for i, r := range records {
		if r.EngineID != "engine one" || r.SchedulingMode != modes[i] {
			t.Errorf("record %d: %q, %q", i, r.EngineID, r.SchedulingMode)
		}
	}
}

// TestCallersBufferRemembered: what copies are compared with does not alias the caller's buffer either, nor what is
// served once more when a heartbeat is merged.
func TestCallersBufferRemembered(t *testing.T) {
	table := New(Config{MaxEngines: 1, Rules: state.Rules{StaleThreshold: time.Hour, HeartbeatMerge: true}})
	mustApply(t, table, engine, 1000)
	send := func(n int64, want state.Outcome) {
		t.Helper()
		buffer := []byte("my mode ")
		s, source, at := numbered(engine, n)
		s.SchedulingMode = unsafe.String(&buffer[0], len(buffer))
		if got := table.Apply(&s, source, at); got != want {
			t.Errorf("state %d: outcome %b, want %b", n, got, want)
		}
		copy(buffer, "########")
	}
	send(10, state.OutOfOrder)
	send(11, state.OutOfOrder)
	send(11, state.OutOfOrder) // known again: it does not break the run
	send(12, state.Applied|state.ClockReset)
	send(12, state.Duplicate)
	beat := heartbeat(engine, 13)
	if got := table.Apply(&beat, netip.AddrPort{}, state.Instant{Mono: 13}); got != state.Applied|state.Heartbeat {
		t.Errorf("outcome %b", got)
	}
	if h, ok := table.Get(engine); !ok || h.TimestampMs != 12 || h.SchedulingMode != "my mode " {
		t.Errorf("held %+v", h)
	}
}

func TestPushInterval(t *testing.T) {
	for _, history := range []int{0, 1, 5, 100} { // what it is told by is kept in any case
		table := New(Config{MaxEngines: 1, History: history, Rules: state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true}})
		wall := int64(time.Hour)
		send := func(s state.State, after time.Duration) {
			wall += int64(after)
			if got := table.Apply(&s, netip.AddrPort{}, state.Instant{Mono: wall, Wall: wall}); got&state.Applied == 0 {
				t.Fatalf("outcome %b", got)
			}
		}
		working := func(n int64) state.State {
			s, _, _ := numbered(engine, n)
			return s
		}
		send(heartbeat(engine, 1), 0)
		send(working(2), 10*time.Millisecond)
		if interval, ok := table.PushInterval(engine); ok {
			t.Errorf("%v after one real state", interval)
		}
		for n := int64(3); n < 300; n++ {
			after := 200 * time.Millisecond
			switch {
			case n%5 == 0:
				after = 400 * time.Millisecond // one was lost
			case n == 100:
				after = time.Hour // the gateway's clock steps
			case n == 200:
				after = -time.Hour
			}
			send(working(2*n), after)
			if n%10 == 0 {
				send(heartbeat(engine, 2*n+1), 0)
			}
			if interval, ok := table.PushInterval(engine); !ok && n > 4 || ok && interval != 200*time.Millisecond && n != 100 {
				t.Fatalf("history %d, state %d: %v, %v", history, n, interval, ok)
			}
		}
	}
}

// TestConflictShows: a conflict is held though the states that show it are not applied; it goes with the engine.
func TestConflictShows(t *testing.T) {
	table := New(Config{MaxEngines: 1, History: 5, Rules: state.Rules{StaleThreshold: 2 * time.Second, WatchSources: true}})
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	in, _, at := numbered(engine, 1000)
	for i, c := range []struct {
		source netip.AddrPort
		want   state.Outcome
	}{{a, state.Applied}, {b, state.Duplicate}, {a, state.Duplicate}, {b, state.Duplicate}, {a, state.Duplicate | state.NewConflict}, {b, state.Duplicate}} {
		if got := table.Apply(&in, c.source, at); got != c.want {
			t.Errorf("state %d: outcome %b, want %b", i, got, c.want)
		}
		h, _ := table.Get(engine)
		if h.Conflict(at) != (i >= 4) || h.Source != a || table.find(engine).applied() != 1 {
			t.Errorf("state %d: %+v", i, h)
		}
	}
	later := state.Instant{Mono: at.Mono + int64(time.Hour)}
	if table.Sweep(later, time.Minute) != 1 {
		t.Fatal("not removed")
	}
	if got := table.Apply(&in, b, later); got != state.Applied {
		t.Errorf("outcome %b", got)
	}
	if h, _ := table.Get(engine); h.Conflict(later) {
		t.Error("the engine that came back is in conflict")
	}
}

func TestAllocations(t *testing.T) {
	const engines = 100
	rules := state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}
	table := New(Config{MaxEngines: engines, History: 100, Rules: rules})
	ids := make([]string, engines)
	for i := range ids {
		ids[i] = fmt.Sprint("http://10.0.0.1:", i)
		mustApply(t, table, ids[i], int64(i))
	}
	n := int64(engines)
	check := func(what string, most float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(200, f); got > most {
			t.Errorf("%s: %v allocations", what, got)
		}
	}
	s, source, at := numbered("", 0)
	give := func(in *state.State, want state.Outcome) {
		if got := table.Apply(in, source, at); got != want {
			t.Fatalf("outcome %b, want %b", got, want)
		}
	}
	next := func(id, mode string) {
		n++
		s.EngineID, s.SchedulingMode, s.TimestampMs, s.PendingTokensTotal, at.Mono = id, mode, n, 7*n, n
		give(&s, state.Applied)
	}
	check("Apply", 0, func() { next(ids[n%engines], "latency_optimized") })
	check("Apply, changing between usual modes", 0, func() { next(ids[1], usualModes[n%3]) })
	next(ids[2], "unusual")
	check("Apply, an unusual mode that stays", 0, func() { next(ids[2], "unusual") })
	check("Apply, copies", 0, func() {
		next(ids[2], "unusual")
		give(&s, state.Duplicate)
		give(&s, state.Duplicate)
	})
	check("Apply, copies out of order", 0, func() {
		next(ids[2], "unusual")
		late := s
		next(ids[2], "unusual")
		give(&late, state.OutOfOrder)
		give(&late, state.OutOfOrder)
	})
	check("Apply, a clock set back", 0, func() {
		next(ids[3], "balanced")
		for i := range int64(2) {
			s.TimestampMs = n - 1000 + i
			give(&s, state.OutOfOrder)
			give(&s, state.OutOfOrder)
		}
		s.TimestampMs++
		give(&s, state.Applied|state.ClockReset)
	})
	n += 10_000
	next(ids[4], "unusual")
	beat := heartbeat(ids[4], n)
	check("Apply, heartbeats that are merged, and copies of them", 0, func() {
		n++
		beat.TimestampMs, at.Mono = n, n
		give(&beat, state.Applied|state.Heartbeat)
		give(&beat, state.Duplicate)
	})
	check("Apply, heartbeats of an idle engine", 0, func() {
		n++
		beat.TimestampMs = n
		at.Mono += int64(2 * time.Second)
		give(&beat, state.Applied|state.Heartbeat)
	})
	if h, _ := table.Get(ids[4]); !h.Idle || h.SchedulingMode != "unusual" {
		t.Errorf("not the idle engine that this test is about: %+v", h)
	}
	other := netip.MustParseAddrPort("[2001:db8::1]:4242")
	check("Apply, two senders by turns", 0, func() {
		n++
		beat.TimestampMs = n
		source, other = other, source
		table.Apply(&beat, source, at)
	})
	stranger := s
	stranger.EngineID = "a stranger"
	full := New(Config{MaxEngines: 1, Rules: patient})
	full.Apply(&s, source, at)
	check("Apply, refused", 0, func() {
		at.Mono++
		if full.Apply(&stranger, source, at) != state.Refused {
			t.Fatal("not refused")
		}
	})
	check("Get", 0, func() { n++; table.Get(ids[n%engines]) })
	check("Range", 1, func() {
		for h := range table.Range {
			n += h.TimestampMs & 1
		}
	})
	check("Sweep, nothing to remove", 0, func() { table.Sweep(at, time.Hour) })
	check("History", 1, func() { table.History(ids[5], 100) })
}
