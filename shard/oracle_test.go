package shard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// oracle is what a Table must agree with: a plain map under a mutex.
type oracle struct {
	cfg     Config
	mu      sync.Mutex
	engines map[string]*oracleEngine
	removed uint64

	replaced uint64
}

type oracleEngine struct {
	applied int
	held    state.Held
	memory  state.Memory
	history []state.Record
}

func (o *oracle) apply(in *state.State, source netip.AddrPort, at state.Instant) state.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.engines[in.EngineID]
	var outcome state.Outcome
	switch {
	case e != nil:
		outcome = e.held.Next(&e.memory, in, source, at, &o.cfg.Rules)
	case len(o.engines) >= o.cfg.MaxEngines && !o.replace(at):
		return state.Refused
	default:
		e = &oracleEngine{}
		outcome = e.held.First(&e.memory, in, source, at, &o.cfg.Rules)
		o.engines[in.EngineID] = e
	}
	if outcome&state.Applied != 0 {
		e.applied++
		e.history = append(e.history, state.Record{State: *in, ReceivedWall: at.Wall})
		e.history = e.history[max(0, len(e.history)-max(o.cfg.History, state.IntervalRecords)):]
	}
	return outcome
}

// replace removes who goes first when the table is full, if anybody does.
func (o *oracle) replace(at state.Instant) bool {
	victim, rank := "", 3
	for id, e := range o.engines {
		r := 3
		switch {
		case e.held.Status(at, &o.cfg.Rules) == state.Stale:
			r = 1
		case e.applied == 1 && at.Mono-e.held.Received.Mono >= int64(500*time.Millisecond):
			r = 2
		}
		if r == 3 || r > rank {
			continue
		}
		if v := o.engines[victim]; r == rank && (v.held.Received.Mono < e.held.Received.Mono ||
			v.held.Received.Mono == e.held.Received.Mono && victim < id) {
			continue
		}
		victim, rank = id, r
	}
	if rank == 3 {
		return false
	}
	delete(o.engines, victim)
	o.replaced++
	return true
}

func (o *oracle) pushInterval(engineID string) (time.Duration, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.engines[engineID]; e != nil {
		return state.PushInterval(e.history, &o.cfg.Rules)
	}
	return 0, false
}

func (o *oracle) get(engineID string) (state.Held, []state.Record, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.engines[engineID]
	if e == nil {
		return state.Held{}, nil, false
	}
	return e.held, slices.Clone(e.history[max(0, len(e.history)-o.cfg.History):]), true
}

func (o *oracle) sweep(now state.Instant, silence time.Duration) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for id, e := range o.engines {
		if now.Mono-e.held.Received.Mono > int64(silence) {
			delete(o.engines, id)
			n++
		}
	}
	o.removed += uint64(n)
	return n
}

func TestOracle(t *testing.T) {
	const brief, usual = 100 * time.Microsecond, 2 * time.Second // thresholds
	outcomes, replaced := map[state.Outcome]int{}, uint64(0)
	for _, c := range []struct {
		engines, history int
		threshold        time.Duration
		step             time.Duration // the most between two operations
	}{
		{1, 1, brief, time.Microsecond},
		{40, 0, brief, time.Microsecond},
		{40, 3, brief, time.Microsecond},
		{400, 7, brief, time.Microsecond},
		{10_000, 100, brief, time.Microsecond},
		{40, 3, usual, 20 * time.Millisecond}, // hardly anybody is stale: who has sent one state only goes
		{400, 3, usual, 5 * time.Millisecond},
	} {
		cfg := Config{MaxEngines: c.engines, History: c.history,
			Rules: state.Rules{StaleThreshold: c.threshold, HeartbeatMerge: true, WatchSources: true}}
		t.Run(fmt.Sprintf("engines %d, history %d, threshold %v", c.engines, c.history, c.threshold), func(t *testing.T) {
			for seed := range uint64(2) {
				replaced += agree(t, cfg, seed, c.step, outcomes)
			}
		})
	}
	for _, outcome := range []state.Outcome{state.Applied, state.Duplicate, state.OutOfOrder, state.Refused, state.Applied | state.ClockReset,
		state.Applied | state.Heartbeat} {
		n := 0
		for got, times := range outcomes {
			if got&outcome == outcome {
				n += times
			}
		}
		if n == 0 {
			t.Errorf("never an outcome of %b", outcome)
		}
	}
	if replaced == 0 {
		t.Error("nobody was replaced")
	}
}

// agree does random operations on a table and on its oracle, and returns how many engines were replaced.
func agree(t *testing.T, cfg Config, seed uint64, most time.Duration, outcomes map[state.Outcome]int) (replaced uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	table := New(cfg)
	table.places.interval = 0 // it looks each time, as the oracle does
	o := &oracle{cfg: cfg, engines: map[string]*oracleEngine{}}
	ids := min(2*cfg.MaxEngines, 600)
	clock := int64(1 << 20)
	last := map[string]state.State{}
	for step := range 6000 {
		id := fmt.Sprintf("http://10.0.0.1:%d", random.IntN(ids))
		clock += random.Int64N(int64(most))
		switch op := random.IntN(100); {
		case op < 70:
			s, source, at := randomState(random, id, clock-random.Int64N(1<<random.IntN(20)))
			at.Mono = clock
			if before, known := last[id]; known && random.IntN(4) == 0 {
				s = before // a copy
			}
			last[id] = s
			got, want := table.Apply(&s, source, at), o.apply(&s, source, at)
			if got != want {
				t.Fatalf("seed %d, step %d: outcome %b, want %b", seed, step, got, want)
			}
			outcomes[got]++
		case op < 85:
			held, _, want := o.get(id)
			got, ok := table.Get(id)
			if ok != want || got != held {
				t.Fatalf("seed %d, step %d: got %+v %v\nwant %+v %v", seed, step, got, ok, held, want)
			}
			interval, known := table.PushInterval(id)
			if wantInterval, want := o.pushInterval(id); known != want || interval != wantInterval {
				t.Fatalf("seed %d, step %d: push interval %v %v, want %v %v", seed, step, interval, known, wantInterval, want)
			}
		case op < 99:
			limit := random.IntN(cfg.History + 3)
			_, history, want := o.get(id)
			history = history[max(0, len(history)-limit):]
			got, ok := table.History(id, limit)
			if ok != want || !slices.Equal(got, history) {
				t.Fatalf("seed %d, step %d: limit %d: got %d records %v\nwant %d %v", seed, step, limit, len(got), ok, len(history), want)
			}
		case random.IntN(4) == 0:
			now, silence := state.Instant{Mono: clock}, time.Duration(random.IntN(500_000))
			if got, want := table.Sweep(now, silence), o.sweep(now, silence); got != want {
				t.Fatalf("seed %d, step %d: removed %d, want %d", seed, step, got, want)
			}
		default:
			agreeOnAll(t, table, o)
		}
		if table.Engines() != len(o.engines) || table.Removed() != o.removed || table.Replaced() != o.replaced {
			t.Fatalf("seed %d, step %d: %d engines, %d removed, %d replaced; want %d, %d, %d", seed, step,
				table.Engines(), table.Removed(), table.Replaced(), len(o.engines), o.removed, o.replaced)
		}
	}
	agreeOnAll(t, table, o)
	return o.replaced
}

// agreeOnAll compares all engines by Range.
func agreeOnAll(t *testing.T, table *Table, o *oracle) {
	t.Helper()
	seen := map[string]bool{}
	for h := range table.Range {
		want, _, ok := o.get(h.EngineID)
		if seen[h.EngineID] || !ok || *h != want {
			t.Fatalf("seen before: %v, held: %v\ngot  %+v\nwant %+v", seen[h.EngineID], ok, *h, want)
		}
		seen[h.EngineID] = true
	}
	if len(seen) != len(o.engines) {
		t.Fatalf("ranged over %d engines of %d", len(seen), len(o.engines))
	}
}
