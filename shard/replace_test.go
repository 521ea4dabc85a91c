package shard

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/elrar/state-gateway/state"
)

const (
	second = int64(time.Second)
	push   = second / 5 // between two states of a real engine
)

// world applies states at instants of its own.
type world struct {
	table  *Table
	source netip.AddrPort
	n      int64 // of the last state, which is its timestamp
}

func newWorld(engines int) *world {
	rules := state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}
	return &world{table: New(Config{MaxEngines: engines, History: 10, Rules: rules}), source: netip.MustParseAddrPort("192.0.2.7:1234")}
}

func (w *world) send(engineID string, mono int64) state.Outcome {
	w.n++
	in := state.State{EngineID: engineID, TimestampMs: w.n, LatencyPredMs: 1, SchedulingMode: "balanced", PendingTokensTotal: w.n}
	return w.table.Apply(&in, w.source, state.Instant{Mono: mono, Wall: mono})
}

func (w *world) held(engineID string) bool {
	_, ok := w.table.Get(engineID)
	return ok
}

// The longest stale engine goes first; while none is stale, the one that sent a single state longest ago, half a second
// ago at least; with neither, nobody does.
func TestWhoIsReplaced(t *testing.T) {
	w := newWorld(3)
	apply := func(id string, mono int64, want state.Outcome) {
		t.Helper()
		if got := w.send(id, mono); got != want {
			t.Fatalf("%s at %v: outcome %b, want %b", id, time.Duration(mono), got, want)
		}
	}
	holds := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			if !w.held(id) {
				t.Errorf("%s is gone", id)
			}
		}
		if n := w.table.Engines(); n != len(ids) {
			t.Errorf("%d engines, want %v", n, ids)
		}
	}
	const ms = int64(time.Millisecond)
	apply("a", 0, state.Applied)
	apply("a", 100*ms, state.Applied)
	apply("once", 150*ms, state.Applied)
	apply("twice", 200*ms, state.Applied)
	apply("twice", 250*ms, state.Applied)
	apply("new", 640*ms, state.Refused) // nobody is stale, and "once" has half a second
	if got := w.send("new", 645*ms); got != state.Refused {
		t.Errorf("a table that was just looked over: outcome %b", got)
	}
	apply("new", 720*ms, state.Applied) // 1.5 times the interval later at the latest it is looked over again
	holds("a", "twice", "new")

	w.table.places.interval = 0
	apply("later", 1150*ms, state.Refused)
	apply("new", 1160*ms, state.Applied) // its second state
	apply("later", 2101*ms, state.Applied)
	holds("twice", "new", "later") // a was stale by a millisecond

	apply("new", 2240*ms, state.Applied)
	apply("later still", 2300*ms, state.Applied)
	holds("new", "later", "later still") // twice is stale; later, which has sent a single state, is not asked yet
	if got := w.table.Replaced(); got != 3 || w.table.Removed() != 0 {
		t.Errorf("%d replaced, %d removed", got, w.table.Removed())
	}
}

// A heartbeat makes an engine stale later.
func TestBeatingEngineIsNotStaleEarly(t *testing.T) {
	w := newWorld(1)
	w.table.places.interval = 0
	beat := state.State{EngineID: "beats", TimestampMs: 1, SchedulingMode: "latency_optimized", KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1}
	for i := range int64(2) {
		beat.TimestampMs++
		w.table.Apply(&beat, w.source, state.Instant{Mono: i, Wall: 1 + i})
	}
	if got := w.send("new", 2500*int64(time.Millisecond)); got != state.Refused {
		t.Errorf("outcome %b", got)
	}
	if got := w.send("new", 2500*int64(time.Millisecond)+2); got != state.Applied {
		t.Errorf("outcome %b", got)
	}
}

// A flood of 50,000 invented ids a second keeps no engine out that pushes five times a second, and none of these is ever
// lost once it has sent two states.
func TestFloodOfInventedIDs(t *testing.T) {
	engines, flood, places := 1_000, int64(50_000), 10_000 // flood: ids a second
	const length = 5                                       // of the test in seconds
	if raceEnabled {
		engines, flood, places = engines/10, flood/10, places/10
	}
	w := newWorld(places)
	random := rand.New(rand.NewPCG(1, 2))
	offsets := make([]int64, engines)
	for i := range offsets {
		offsets[i] = second + random.Int64N(push) // the flood is there before them
	}
	in := map[int]int64{} // when an engine was taken in
	for i, mono := 0, int64(0); mono < length*second; i, mono = i+1, mono+second/flood {
		w.send(fmt.Sprint("invented ", i), mono)
		for e := range offsets {
			if offsets[e] > mono {
				continue
			}
			offsets[e] += push
			id := fmt.Sprint("engine ", e)
			known := w.held(id)
			if since, was := in[e]; was && !known && mono-since > push {
				t.Fatalf("%s, known for %v, is lost", id, time.Duration(mono-since))
			} else if was && !known {
				delete(in, e) // it had sent one state only
			}
			if outcome := w.send(id, mono); outcome == state.Applied && !known {
				in[e] = mono
			}
		}
	}
	last := int64(0)
	for e := range offsets {
		since, ok := in[e]
		if last = max(last, since); !ok || since > 3*second { // 2 s after its start
			t.Errorf("engine %d was taken in after %v: %v", e, time.Duration(since), ok)
		}
	}
	if n := w.table.Engines(); n != places {
		t.Errorf("%d engines", n)
	}
	t.Logf("the last engine was taken in %v after the first one's start; %d replaced", time.Duration(last-second), w.table.Replaced())
}

// A full table of dead ids takes in a whole fleet at once.
func TestDeadIDsMakeRoom(t *testing.T) {
	const engines = 10_000
	w := newWorld(engines)
	for i := range engines {
		w.send(fmt.Sprint("dead ", i), int64(i))
	}
	for i := range engines {
		if got := w.send(fmt.Sprint("live ", i), 3*second+int64(i)); got != state.Applied {
			t.Fatalf("engine %d: outcome %b", i, got)
		}
	}
	for h := range w.table.Range {
		if h.Received.Mono < 3*second {
			t.Fatalf("%s is held", h.EngineID)
		}
	}
	if n := w.table.Replaced(); n != engines {
		t.Errorf("%d replaced", n)
	}
}

// Many goroutines replace, read and follow at once: no more engines than places, nothing torn, no history of another's.
func TestReplaceHammer(t *testing.T) {
	const limit, ids, writers, readers = 20, 60, 4, 2
	writes := 20_000
	if raceEnabled {
		writes = 2_000
	}
	table := New(Config{MaxEngines: limit, History: 6, Rules: state.Rules{StaleThreshold: 40}}) // ticks of the clock
	table.places.interval = 0
	var clock atomic.Int64
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 3))
			for range writes {
				apply(table, fmt.Sprint("engine ", random.IntN(ids)), clock.Add(1))
				if n := table.Engines(); n > limit {
					t.Errorf("%d engines", n)
				}
			}
		})
	}
	var stop atomic.Bool
	for r := range readers {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r), 4))
			known := map[string]bool{}
			follow := table.Follow()
			for !stop.Load() {
				for h := range table.Range {
					if bad := inconsistent(h); bad != "" {
						t.Error(bad)
					}
				}
				id := fmt.Sprint("engine ", random.IntN(ids))
				records, _ := table.History(id, 6)
				for i := range records {
					if bad := inconsistentRecords(id, records[i:i+1]); bad != "" {
						t.Error(bad)
					}
				}
				follow(func(h *state.Held) { known[h.EngineID] = true }, func(id string) {
					if !known[id] {
						t.Errorf("%s, of which nobody was told, is said to be removed", id)
					}
					delete(known, id)
				})
			}
			follow(func(h *state.Held) { known[h.EngineID] = true }, func(id string) { delete(known, id) })
			if len(known) != table.Engines() {
				t.Errorf("%d engines followed of %d", len(known), table.Engines())
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()
	if table.Replaced() == 0 || table.Engines() != limit || table.reserved.Load() != limit {
		t.Errorf("%d replaced, %d engines, %d places taken", table.Replaced(), table.Engines(), table.reserved.Load())
	}
}

// colliding returns ids of 16 bytes that all have one hash by xxhash with the seed 0: its last step for each eight bytes
// can be undone, so that the second half can be chosen to lead from any first half to one end.
func colliding(n int) []string {
	const p1, p2, p4, p5 = 11400714785074694791, 14029467366897019727, 9650029242287828579, 2870177450012600261
	inverse := func(p uint64) uint64 { // modulo 2^64, by Newton's iteration
		x := p
		for range 5 {
			x *= 2 - p*x
		}
		return x
	}
	rotate := func(x uint64, k int) uint64 { return x<<k | x>>(64-k) }
	const end = 42 // of the hash before the second half's multiplication
	ids := make([]string, n)
	for i := range ids {
		var b [16]byte
		first := uint64(i)
		h := uint64(p5) + 16
		h ^= rotate(first*p2, 31) * p1
		h = rotate(h, 27)*p1 + p4
		round := h ^ end
		binary.LittleEndian.PutUint64(b[:], first)
		binary.LittleEndian.PutUint64(b[8:], rotate(round*inverse(p1), 33)*inverse(p2))
		ids[i] = string(b[:])
	}
	return ids
}

// Ids that were chosen to have one hash are found as fast as any.
func TestCraftedIDsDoNotLengthenSearches(t *testing.T) {
	ids := colliding(5000)
	for _, id := range ids {
		if xxhash.Sum64String(id) != xxhash.Sum64String(ids[0]) {
			t.Fatal("the ids do not collide")
		}
	}
	w := newWorld(len(ids))
	for _, id := range ids {
		if got := w.send(id, 0); got != state.Applied {
			t.Fatalf("outcome %b", got)
		}
	}
	longest := 0
	for _, id := range ids {
		p, hash := w.table.place(id)
		x := p.index.Load()
		probes := 1
		for i := hash; x.cells[i%uint64(len(x.cells))].Load().engineID != id; i++ {
			probes++
		}
		longest = max(longest, probes)
	}
	// At most half full, linear probing of 5,000: 64 in a row come about once in a million tables.
	if longest > 64 {
		t.Errorf("the longest search looks at %d cells", longest)
	}
}
