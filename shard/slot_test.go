package shard

import (
	"fmt"
	"testing"

	"github.com/elrar/state-gateway/state"
)

const engine = "http://172.17.0.3:8000"

// TestWrapAround goes round the ring of the history and the two copies of what is held many times.
func TestWrapAround(t *testing.T) {
	for _, history := range []int{0, 1, 2, 3, 7, 100} {
		t.Run(fmt.Sprint("history ", history), func(t *testing.T) {
			table := New(Config{MaxEngines: 1, History: history})
			for n := int64(1); n <= 350; n++ {
				mustApply(t, table, engine, n)
				h, ok := table.Get(engine)
				if bad := inconsistent(&h); !ok || bad != "" || h.TimestampMs != n {
					t.Fatalf("after %d: %v %s %+v", n, ok, bad, h)
				}
				for _, limit := range []int{0, 1, 2, history - 1, history, history + 1, 10 * history} {
					if limit < 0 {
						continue
					}
					records, ok := table.History(engine, limit)
					if want := min(limit, history, int(n)); !ok || len(records) != want {
						t.Fatalf("after %d, limit %d: %d records, want %d", n, limit, len(records), want)
					}
					if bad := inconsistentRecords(engine, records); bad != "" {
						t.Fatal(bad)
					}
					if k := len(records); k > 0 && (records[k-1].TimestampMs != n || records[0].TimestampMs != n-int64(k)+1) {
						t.Fatalf("after %d, limit %d: records %d to %d", n, limit, records[0].TimestampMs, records[k-1].TimestampMs)
					}
				}
			}
		})
	}
}

// TestStalledWriter stops a writer in the middle of its work, as the scheduler may: nobody who reads waits for it.
func TestStalledWriter(t *testing.T) {
	const history = 5
	table := New(Config{MaxEngines: 10, History: history})
	for n := int64(1); n <= 20; n++ {
		mustApply(t, table, engine, n)
	}
	s := table.find(engine)
	seq, ok := s.lock()
	if !ok || seq != 40 {
		t.Fatalf("locked %v at %d", ok, seq)
	}
	// It has written half of the 21st state, and all of its record.
	next, _, at := numbered(engine, 21)
	s.held[21%2].timestamp.Store(21)
	s.held[21%2].receivedMono.Store(1 << 40)
	s.history[21%(history+1)].store(&next, &usualModes[0], at.Wall)

	h, ok := table.Get(engine)
	if bad := inconsistent(&h); !ok || bad != "" || h.TimestampMs != 20 {
		t.Errorf("Get: %v %s %+v", ok, bad, h)
	}
	for h := range table.Range {
		if bad := inconsistent(h); bad != "" || h.TimestampMs != 20 {
			t.Errorf("Range: %s %+v", bad, h)
		}
	}
	records, ok := table.History(engine, 100)
	if bad := inconsistentRecords(engine, records); !ok || bad != "" || len(records) != history || records[0].TimestampMs != 16 {
		t.Errorf("History: %v %s %d records", ok, bad, len(records))
	}
	if mono := s.receivedMono(); mono != 20 {
		t.Errorf("newest arrival %d", mono)
	}
	mustApply(t, table, "another engine", 1) // of whatever shard: only this engine's writers wait
	if n := table.Sweep(state.Instant{Mono: 1}, 0); n != 0 {
		t.Errorf("%d removed", n)
	}

	s.seq.Store(seq) // it gives up
	mustApply(t, table, engine, 22)
	if h, _ := table.Get(engine); h.TimestampMs != 22 || inconsistent(&h) != "" {
		t.Errorf("afterwards %+v", h)
	}
}

func TestRemovedSlotTakesNothing(t *testing.T) {
	s := newSlot(1, engine, newRing(3))
	in, source, at := numbered(engine, 1)
	s.first(&in, source, at, &anyOrder)
	in, source, at = numbered(engine, 2)
	if s.remove(func() bool { return false }, func() { t.Error("told") }) {
		t.Error("removed against the condition")
	}
	if outcome, ok := s.apply(&in, source, at, &anyOrder); !ok || outcome != state.Applied {
		t.Error("a slot that was not removed does not take a state")
	}
	condition, told := false, false
	if !s.remove(func() bool { condition = s.seq.Load()&1 == 1; return true }, func() { told = !s.removed() }) {
		t.Error("not removed")
	}
	if !condition || !told {
		t.Error("the condition was asked while a writer could be at work, or the removal was seen before it was told")
	}
	if _, ok := s.apply(&in, source, at, &anyOrder); ok {
		t.Error("a removed slot takes a state")
	}
	if s.remove(func() bool { t.Error("asked"); return true }, func() {}) {
		t.Error("removed twice")
	}
	// A reader that found it before still reads it, but for its ring, which may be another's by now.
	var h state.Held
	s.read(&h)
	if bad := inconsistent(&h); bad != "" || len(s.readHistory(nil, 5)) != 0 || s.applied() != 2 || s.receivedMono() != 2 {
		t.Errorf("%s, %d applied", bad, s.applied())
	}
}
