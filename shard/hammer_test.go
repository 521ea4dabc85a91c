package shard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/elrar/state-gateway/state"
)

// TestHammer has writers, readers and a sweeper at work on few engines at once. Each state's fields come from one
// number, drawn from one clock, so that a torn read cannot hide; engines are removed whenever they happen not to have
// been written for a while, and come back.
func TestHammer(t *testing.T) {
	const (
		own       = 4  // engines with one writer
		shared    = 4  // engines that all write to
		rare      = 8  // engines that come and go
		silence   = 20 // ticks of the clock
		limit     = own + shared + rare
		readers   = 4
		historyOf = 6
	)
	writes := 5000
	if raceEnabled {
		writes = 800
	}
	table := New(Config{MaxEngines: limit, History: historyOf, Rules: anyOrder})
	var clock, removed atomic.Int64
	var locks [shared]sync.Mutex // so that the numbers of each shared engine grow

	var writing, reading sync.WaitGroup
	for w := range own {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			mine := fmt.Sprint("own ", w)
			for range writes {
				n := clock.Add(1)
				if outcome := apply(table, mine, n); outcome != state.Applied {
					t.Errorf("%s: outcome %d", mine, outcome)
				}
				h, ok := table.Get(mine)
				if clock.Load()-n <= silence && (!ok || h.TimestampMs != n) {
					t.Errorf("%s: wrote %d, reads %v %d", mine, n, ok, h.TimestampMs)
				}
				k := random.IntN(shared)
				locks[k].Lock()
				apply(table, fmt.Sprint("shared ", k), clock.Add(1))
				locks[k].Unlock()
				apply(table, fmt.Sprint("rare ", random.IntN(rare)), clock.Add(1)) // any number of writers, any order
			}
		})
	}
	var stop atomic.Bool
	reading.Go(func() {
		for !stop.Load() {
			removed.Add(int64(table.Sweep(state.Instant{Mono: clock.Load()}, silence)))
			if n := table.Engines(); n < 0 || n > limit {
				t.Errorf("%d engines", n)
			}
		}
	})
	for r := range readers {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r), 2))
			newest := map[string]int64{} // of engines whose numbers grow
			for !stop.Load() {
				seen := map[string]bool{}
				for h := range table.Range {
					if bad := inconsistent(h); bad != "" {
						t.Error(bad)
					}
					if seen[h.EngineID] {
						t.Errorf("%s twice in one Range", h.EngineID)
					}
					seen[h.EngineID] = true
				}
				kind, k := "own ", random.IntN(own)
				if random.IntN(2) == 0 {
					kind, k = "shared ", random.IntN(shared)
				}
				id := fmt.Sprint(kind, k)
				if h, ok := table.Get(id); ok {
					if bad := inconsistent(&h); bad != "" {
						t.Error(bad)
					}
					if h.TimestampMs < newest[id] {
						t.Errorf("%s goes back from %d to %d", id, newest[id], h.TimestampMs)
					}
					newest[id] = h.TimestampMs
				}
				records, _ := table.History(id, 1+random.IntN(historyOf+1))
				if bad := inconsistentRecords(id, records); bad != "" {
					t.Error(bad)
				}
				rarely := fmt.Sprint("rare ", random.IntN(rare))
				if h, ok := table.Get(rarely); ok {
					if bad := inconsistent(&h); bad != "" {
						t.Error(bad)
					}
				}
				records, _ = table.History(rarely, historyOf)
				for i := range records { // their numbers need not grow
					if bad := inconsistentRecords(rarely, records[i:i+1]); bad != "" {
						t.Error(bad)
					}
				}
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()

	if removed.Load() == 0 || uint64(removed.Load()) != table.Removed() {
		t.Errorf("%d removed by the sweeper, %d counted", removed.Load(), table.Removed())
	}
	n := 0
	for range table.Range {
		n++
	}
	if n != table.Engines() {
		t.Errorf("%d engines counted, %d held", table.Engines(), n)
	}
	t.Logf("%d states, %d engines inserted, %d removed", clock.Load(), removed.Load()+int64(table.Engines()), removed.Load())
	if table.Sweep(state.Instant{Mono: clock.Load() + 1}, 0) != n || table.Engines() != 0 {
		t.Errorf("%d engines left of %d", table.Engines(), n)
	}
}

// TestHammerOneEngine: several writers and readers of a single engine with a short history, the most that one slot
// can be asked for. The states are prepared, so that there is little time between the writes, and there are more
// threads than processors, so that readers and writers are interrupted anywhere in their work: a reader then wakes to
// find that what it copies was overwritten many times. No state is lost: in the end the count of the slot is theirs.
func TestHammerOneEngine(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	const writers, states = 3, 64
	writes := 150_000
	if raceEnabled {
		writes = 5_000
	}
	var prepared [states]struct {
		in     state.State
		source netip.AddrPort
		at     state.Instant
	}
	for n := range prepared {
		p := &prepared[n]
		p.in, p.source, p.at = numbered(engine, int64(n))
	}
	whole := func(h *state.Held) bool {
		p := &prepared[uint64(h.TimestampMs)%states]
		return h.State == p.in && h.Source == p.source && h.Received == p.at
	}
	table := New(Config{MaxEngines: 1, History: 2, Rules: anyOrder})
	mustApply(t, table, engine, 0)
	var writing, reading sync.WaitGroup
	var stop atomic.Bool
	var applied atomic.Int64
	for w := range writers {
		writing.Go(func() {
			for i := range writes {
				p := &prepared[(i+w*states/writers)%states]
				switch outcome := table.Apply(&p.in, p.source, p.at); outcome &^ state.ClockReset {
				case state.Applied:
					applied.Add(1)
				case state.Duplicate: // two writers are at the same state
				default:
					t.Errorf("outcome %b", outcome)
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for !stop.Load() {
				if h, ok := table.Get(engine); !ok || !whole(&h) {
					t.Errorf("torn: %v %+v", ok, h)
				}
			}
		})
	}
	reading.Go(func() {
		for !stop.Load() {
			for h := range table.Range {
				if !whole(h) {
					t.Errorf("torn in Range: %+v", h)
				}
			}
			records, _ := table.History(engine, 2)
			for _, r := range records {
				if p := &prepared[uint64(r.TimestampMs)%states]; r.State != p.in || r.ReceivedWall != p.at.Wall {
					t.Errorf("torn record: %+v", r)
				}
			}
		}
	})
	writing.Wait()
	stop.Store(true)
	reading.Wait()
	if n := table.find(engine).applied(); n != uint64(1+applied.Load()) || n < uint64(writes) {
		t.Errorf("%d states applied, want %d of %d", n, 1+applied.Load(), 1+writers*writes)
	}
}

// TestRemovalLosesNothing: a state that arrives while its engine is being removed is held afterwards, always.
func TestRemovalLosesNothing(t *testing.T) {
	table := New(Config{MaxEngines: 1, History: 3})
	for round := range int64(2000) {
		old, now := 10*round+1, 10*round+2
		mustApply(t, table, engine, old)
		together(2, func(i int) {
			if i == 0 {
				table.Sweep(state.Instant{Mono: now}, 0) // the old state is silent, the new one is not
				return
			}
			for apply(table, engine, now) != state.Applied { // refused while the old one still counts
			}
		})
		h, ok := table.Get(engine)
		if bad := inconsistent(&h); !ok || bad != "" || h.TimestampMs != now || table.Engines() != 1 {
			t.Fatalf("round %d: %v %s %+v", round, ok, bad, h)
		}
		table.Sweep(state.Instant{Mono: now + 5}, 0)
	}
}

// TestSweepAsksAgain: a writer is at work on an engine that looks silent; when it is done, the engine is not.
func TestSweepAsksAgain(t *testing.T) {
	table := New(Config{MaxEngines: 1, History: 3})
	mustApply(t, table, engine, 1)
	s := table.find(engine)
	seq, _ := s.lock()
	swept := make(chan int)
	go func() { swept <- table.Sweep(state.Instant{Mono: 100}, 50) }()
	for range 1000 {
		runtime.Gosched() // the sweep goes on to wait for the writer
	}
	in, source, at := numbered(engine, 90)
	var h state.Held
	s.load(seq/2, &h)
	h.Next(&s.memory, &in, source, at, &anyOrder)
	s.write(seq/2+1, &h, &in, at)
	s.seq.Store(seq + 2)
	if n := <-swept; n != 0 || table.Engines() != 1 {
		t.Errorf("%d removed, %d left", n, table.Engines())
	}
	if h, ok := table.Get(engine); !ok || h.TimestampMs != 90 {
		t.Errorf("held: %v, %+v", ok, h)
	}
}
