package shard

import (
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/elrar/state-gateway/state"
)

// slot is one engine's place: what is held of it, twice, and the ring of its applied states.
//
// seq is a sequence lock and the writers' lock in one. It is 2n after the n-th applied state and odd while a writer is
// at work; a writer takes it by compare-and-swap. The n-th state is held in held[n%2]: while a writer fills one copy,
// readers read the other, so that even a writer that lost its processor in mid-write keeps nobody waiting. A reader's
// copy is whole unless the write after the next one began meanwhile, and then it tries again. The same count tells
// whether an entry of the ring was overwritten while it was read.
//
// All words are atomics, as Go's memory model asks of data that is read while it may be written (a plain sequence lock
// is a data race). The idea of two copies is "left-right" (Ramalhete, Correia: Left-Right, 2013) without its readers'
// marks, which a sequence count makes unnecessary.
//
// With thousands of engines, what a state costs here is cache lines. The slot is six of them, side by side: one for the
// head, two for each copy, one for what the rules remember. (368 bytes are of the allocator's class of 384, which begin
// at whole lines; a power of two would put the same part of every slot into the same few sets of the cache.)
type slot struct {
	hash     uint64
	engineID string
	seq      atomic.Uint64
	conflict atomic.Int64  // state.Held.Conflicted, which changes without a state being applied
	history  []recordWords // entry of the n-th applied state: n % len; one more than can be asked for. Another slot's after removal
	held     [2]heldWords
	memory   state.Memory // theirs who hold the slot
}

// removedBit of seq marks a slot that has left the table. It stays so.
const removedBit = 1 << 63

// newSlot returns an empty slot that keeps its states in ring.
func newSlot(hash uint64, engineID string, ring []recordWords) *slot {
	return &slot{hash: hash, engineID: engineID, history: ring}
}

// newRing returns room for as many states as can be asked for.
func newRing(history int) []recordWords {
	return make([]recordWords, max(history, state.IntervalRecords)+1)
}

// first fills a slot that nobody else has seen yet.
func (s *slot) first(in *state.State, source netip.AddrPort, at state.Instant, r *state.Rules) state.Outcome {
	var h state.Held
	outcome := h.First(&s.memory, in, source, at, r)
	s.conflict.Store(h.Conflicted)
	s.write(1, &h, in, at)
	s.seq.Store(2)
	return outcome
}

// apply applies a state; ok is false if the slot has left the table.
func (s *slot) apply(in *state.State, source netip.AddrPort, at state.Instant, r *state.Rules) (outcome state.Outcome, ok bool) {
	seq, ok := s.lock()
	if !ok {
		return 0, false
	}
	n := seq / 2
	var h state.Held
	s.load(n, &h)
	conflicted := h.Conflicted
	outcome = h.Next(&s.memory, in, source, at, r)
	if h.Conflicted != conflicted {
		s.conflict.Store(h.Conflicted)
	}
	if outcome&state.Applied == 0 {
		s.seq.Store(seq) // nothing was written
		return outcome, true
	}
	s.write(n+1, &h, in, at)
	s.seq.Store(seq + 2)
	return outcome, true
}

// write stores the n-th state, in, and what is held after it; the caller holds the slot.
func (s *slot) write(n uint64, h *state.Held, in *state.State, at state.Instant) {
	served := internMode(s.held[(n-1)%2].mode.Load(), h.SchedulingMode)
	sent := served
	if in.SchedulingMode != h.SchedulingMode { // in is a heartbeat, and a real state is served
		sent = internMode(nil, in.SchedulingMode)
	}
	s.held[n%2].store(h, served)
	s.history[n%uint64(len(s.history))].store(in, sent, at.Wall)
}

// load copies what is held after the n-th state into h, but for the engine_id.
func (s *slot) load(n uint64, h *state.Held) {
	s.held[n%2].load(h)
	h.Conflicted = s.conflict.Load()
}

// lock takes the slot for writing and returns its sequence; ok is false if it has left the table. Writers of one
// engine are two only if its sender has just changed its address: waiting is rare and as short as a write.
func (s *slot) lock() (seq uint64, ok bool) {
	for {
		seq = s.seq.Load()
		switch {
		case seq&removedBit != 0:
			return seq, false
		case seq&1 == 0 && s.seq.CompareAndSwap(seq, seq+1):
			return seq, true
		case seq&1 != 0:
			runtime.Gosched()
		}
	}
}

// remove marks the slot as removed if condition still holds when no writer is at work, and reports whether it did. It
// calls before when that is decided and nobody can see it yet.
func (s *slot) remove(condition func() bool, before func()) bool {
	seq, ok := s.lock()
	if !ok {
		return false
	}
	if !condition() {
		s.seq.Store(seq)
		return false
	}
	before()
	s.seq.Store(seq | removedBit)
	return true
}

// removed reports whether the slot has left the table.
func (s *slot) removed() bool { return s.seq.Load()&removedBit != 0 }

// read copies what is held into h, and returns after how many applied states that was.
func (s *slot) read(h *state.Held) (applied uint64) {
	for {
		n := s.applied()
		s.load(n, h)
		if s.begun() <= n+1 {
			h.EngineID = s.engineID
			return n
		}
		runtime.Gosched() // two writes during one copy: a flood of one engine; let its writer get on
	}
}

// applied returns the number of states applied.
func (s *slot) applied() uint64 { return s.seq.Load() &^ removedBit / 2 }

// begun returns the number of states applied or being written.
func (s *slot) begun() uint64 { return (s.seq.Load()&^removedBit + 1) / 2 }

// receivedMono returns the arrival of the newest applied state on the monotonic clock.
func (s *slot) receivedMono() int64 {
	for {
		n := s.applied()
		mono := s.held[n%2].receivedMono.Load()
		if s.begun() <= n+1 {
			return int64(mono)
		}
	}
}

// readHistory returns the last limit states, oldest first, in the memory of records if that has room for them. When the
// ring turns further than its spare entry while it is read, the states that were overwritten meanwhile are left out; of
// a slot that has left the table, whose ring may be another's by now, all that were not read before.
func (s *slot) readHistory(records []state.Record, limit int) []state.Record {
	ring := uint64(len(s.history))
	newest := s.applied()
	n := min(uint64(limit), ring-1, newest)
	if records = records[:0]; uint64(cap(records)) < n {
		records = make([]state.Record, 0, n)
	}
	for k := newest - n + 1; k <= newest; k++ {
		var r state.Record
		s.history[k%ring].load(&r)
		if s.removed() {
			break
		}
		if s.begun() >= k+ring {
			continue
		}
		r.EngineID = s.engineID
		records = append(records, r)
	}
	return records
}
