package shard

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// follower is a copy of a table that is kept by what Follow finds.
type follower struct {
	follow func(changed func(*state.Held), removed func(string))
	held   map[string]state.Held
}

func newFollower(table *Table) *follower {
	return &follower{follow: table.Follow(), held: map[string]state.Held{}}
}

// catchUp returns what Follow finds, sorted.
func (f *follower) catchUp(t *testing.T) (changed, removed []string) {
	t.Helper()
	f.follow(func(h *state.Held) {
		f.held[h.EngineID] = *h
		changed = append(changed, h.EngineID)
	}, func(id string) {
		if _, ok := f.held[id]; !ok {
			t.Errorf("%s is removed and was never there", id)
		}
		delete(f.held, id)
		removed = append(removed, id)
	})
	slices.Sort(changed)
	slices.Sort(removed)
	return changed, removed
}

// agrees compares the copy with the table. Conflicts show with the engine's next state.
func (f *follower) agrees(t *testing.T, table *Table) {
	t.Helper()
	n := 0
	for h := range table.Range {
		got := f.held[h.EngineID]
		got.Conflicted = h.Conflicted
		if got != *h {
			t.Fatalf("followed %+v\nheld     %+v", got, *h)
		}
		n++
	}
	if n != len(f.held) {
		t.Fatalf("followed %d engines, held %d", len(f.held), n)
	}
}

// TestFollow: whatever happens between two looks, the copy agrees with the table, and exactly the engines that a state was
// applied to are found changed.
func TestFollow(t *testing.T) {
	rules := state.Rules{StaleThreshold: 100 * time.Microsecond, HeartbeatMerge: true, WatchSources: true}
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 3))
		table := New(Config{MaxEngines: 300, History: 3, Rules: rules})
		f := newFollower(table)
		ids := 1 + random.IntN(600)
		clock, looks, removals, returns := int64(1<<20), 0, 0, 0
		for range 100 {
			applied := map[string]bool{}
			before := maps.Clone(f.held)
			for range random.IntN(200) {
				clock += random.Int64N(1000)
				id := fmt.Sprintf("http://10.0.0.1:%d", random.IntN(ids))
				s, source, at := randomState(random, id, clock-random.Int64N(1<<random.IntN(20)))
				at.Mono = clock
				if table.Apply(&s, source, at)&state.Applied != 0 {
					applied[id] = true
				}
				if random.IntN(100) == 0 {
					table.Sweep(state.Instant{Mono: clock}, time.Duration(random.IntN(100_000)))
				}
			}
			var wantChanged, wantRemoved []string
			for id := range applied {
				if _, ok := table.Get(id); ok {
					wantChanged = append(wantChanged, id)
				}
			}
			for id := range before {
				if _, ok := table.Get(id); !ok {
					wantRemoved = append(wantRemoved, id)
				}
			}
			slices.Sort(wantChanged)
			slices.Sort(wantRemoved)
			changed, removed := f.catchUp(t)
			if !slices.Equal(changed, wantChanged) || !slices.Equal(removed, wantRemoved) {
				t.Fatalf("seed %d: changed %v, want %v; removed %v, want %v", seed, changed, wantChanged, removed, wantRemoved)
			}
			f.agrees(t, table)
			looks += len(changed)
			removals += len(removed)
			for _, id := range changed {
				if _, ok := before[id]; !ok {
					returns++
				}
			}
		}
		if looks == 0 || ids > 50 && (removals == 0 || returns <= ids) {
			t.Errorf("seed %d: %d found changed, %d removed, %d came or came back", seed, looks, removals, returns)
		}
	}
}

// TestFollowReturn: an engine that was removed and is back before anybody looks is changed and not removed.
func TestFollowReturn(t *testing.T) {
	table := New(Config{MaxEngines: 2, History: 1})
	f := newFollower(table)
	mustApply(t, table, engine, 1)
	f.catchUp(t)
	table.Sweep(state.Instant{Mono: 10}, 1)
	mustApply(t, table, engine, 20)
	if changed, removed := f.catchUp(t); len(changed) != 1 || len(removed) != 0 || f.held[engine].TimestampMs != 20 {
		t.Errorf("changed %v, removed %v", changed, removed)
	}
	table.Sweep(state.Instant{Mono: 30}, 1)
	if changed, removed := f.catchUp(t); len(changed) != 0 || len(removed) != 1 {
		t.Errorf("changed %v, removed %v", changed, removed)
	}
	if changed, removed := f.catchUp(t); len(changed)+len(removed) != 0 {
		t.Errorf("changed %v, removed %v", changed, removed)
	}
}

// TestFollowWhileWritten: with writers and a sweeper at work, what is found is whole and never goes back, and a last look
// finds everything that the ones before did not.
func TestFollowWhileWritten(t *testing.T) {
	const writers, engines, silence = 3, 40, 200
	states := 20_000
	if raceEnabled {
		states = 2000
	}
	table := New(Config{MaxEngines: writers * engines, History: 1, Rules: anyOrder})
	var clock atomic.Int64
	var stop atomic.Bool
	var writing, sweeping sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 4))
			for range states {
				apply(table, fmt.Sprint("engine ", w, " ", min(random.IntN(engines), random.IntN(engines))), clock.Add(1))
			}
		})
	}
	sweeping.Go(func() {
		for !stop.Load() {
			table.Sweep(state.Instant{Mono: clock.Load()}, silence)
		}
	})
	finished := make(chan struct{})
	go func() { writing.Wait(); stop.Store(true); sweeping.Wait(); close(finished) }()

	f := newFollower(table)
	looks, removals := 0, 0
	for running := true; running; looks++ {
		select {
		case <-finished:
			running = false // and one more look
		default:
		}
		before := maps.Clone(f.held)
		changed, removed := f.catchUp(t)
		removals += len(removed)
		for _, id := range changed {
			h := f.held[id]
			if bad := inconsistent(&h); bad != "" {
				t.Fatal(bad)
			}
			if h.TimestampMs <= before[id].TimestampMs {
				t.Fatalf("%s goes from %d to %d", id, before[id].TimestampMs, h.TimestampMs)
			}
		}
	}
	f.agrees(t, table)
	t.Logf("%d looks, %d removed, %d held", looks, removals, len(f.held))
}

func TestFollowAllocates(t *testing.T) {
	table := New(Config{MaxEngines: 100, History: 1})
	for i := range int64(100) {
		mustApply(t, table, fmt.Sprint("engine ", i), 1+i)
	}
	follow, n := table.Follow(), int64(0)
	changed, removed := func(*state.Held) { n++ }, func(string) {}
	follow(changed, removed)
	s, source, at := numbered("engine 7", 1000)
	if allocs := testing.AllocsPerRun(100, func() {
		s.TimestampMs++
		at.Mono++
		table.Apply(&s, source, at)
		follow(changed, removed)
	}); allocs != 0 && !raceEnabled {
		t.Errorf("%v allocations a look", allocs)
	}
	if n != 100+101 {
		t.Errorf("%d found changed", n)
	}
}
