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
}

type oracleEngine struct {
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
	case len(o.engines) >= o.cfg.MaxEngines:
		return state.Refused
	default:
		e = &oracleEngine{}
		outcome = e.held.First(&e.memory, in, source, at, &o.cfg.Rules)
		o.engines[in.EngineID] = e
	}
	if outcome&state.Applied != 0 {
		e.history = append(e.history, state.Record{State: *in, ReceivedWall: at.Wall})
		e.history = e.history[max(0, len(e.history)-max(o.cfg.History, state.IntervalRecords)):]
	}
	return outcome
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
	for _, cfg := range []Config{
		{MaxEngines: 1, History: 1},
		{MaxEngines: 40, History: 0},
		{MaxEngines: 40, History: 3},
		{MaxEngines: 400, History: 7},
		{MaxEngines: 10_000, History: 100},
	} {
		cfg.Rules = state.Rules{StaleThreshold: 100 * time.Microsecond, HeartbeatMerge: true, WatchSources: true}
		t.Run(fmt.Sprintf("engines %d, history %d", cfg.MaxEngines, cfg.History), func(t *testing.T) {
			for seed := range uint64(2) {
				agree(t, cfg, seed)
			}
		})
	}
}

// agree does random operations on a table and on its oracle.
func agree(t *testing.T, cfg Config, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	table := New(cfg)
	o := &oracle{cfg: cfg, engines: map[string]*oracleEngine{}}
	ids := min(2*cfg.MaxEngines, 600)
	clock := int64(1 << 20)
	outcomes := map[state.Outcome]int{}
	last := map[string]state.State{}
	for step := range 6000 {
		id := fmt.Sprintf("http://10.0.0.1:%d", random.IntN(ids))
		clock += random.Int64N(1000)
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
		if table.Engines() != len(o.engines) || table.Removed() != o.removed {
			t.Fatalf("seed %d, step %d: %d engines, %d removed; want %d, %d", seed, step, table.Engines(), table.Removed(), len(o.engines), o.removed)
		}
	}
	agreeOnAll(t, table, o)
	for _, outcome := range []state.Outcome{state.Applied, state.Duplicate, state.OutOfOrder, state.Applied | state.ClockReset, state.Applied | state.Heartbeat} {
		n := 0
		for got, times := range outcomes {
			if got&outcome == outcome {
				n += times
			}
		}
		if n == 0 {
			t.Errorf("seed %d: never an outcome of %b", seed, outcome)
		}
	}
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
