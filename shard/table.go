package shard

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/elrar/state-gateway/state"
)

// shards is the number of parts with an index and an insertion lock of their own: far more than there are readers, so
// that a start, when every engine is new, does not queue at one lock.
const (
	shardBits = 6
	shards    = 1 << shardBits
)

// Config sizes a Table.
type Config struct {
	MaxEngines int // engines held at most; see Apply for what happens then
	History    int // states kept of each engine, ≥ 0
	Rules      state.Rules
}

// Table holds the newest state of each engine. See the package comment for its concurrency.
type Table struct {
	cfg      Config
	reserved atomic.Int64 // places taken: by the engines held and by those being inserted
	engines  atomic.Int64 // in the indexes
	removed  atomic.Uint64
	replaced atomic.Uint64
	seed     maphash.Seed // of the hash that picks an engine's cell
	places   candidates   // whom a new engine may replace when the table is full
	parts    [shards]part
}

// part is one shard: an index that readers load, and the lock of those who replace it.
type part struct {
	mu    sync.Mutex
	index atomic.Pointer[index]
	_     [112]byte
}

// New returns an empty table.
func New(cfg Config) *Table {
	t := &Table{cfg: cfg, seed: maphash.MakeSeed(), places: candidates{interval: lookInterval}}
	for i := range t.parts {
		t.parts[i].index.Store(newIndex(8))
	}
	return t
}

// Engines returns the number of engines held.
func (t *Table) Engines() int { return int(t.engines.Load()) }

// Removed returns the number of engines that Sweep has removed since the start.
func (t *Table) Removed() uint64 { return t.removed.Load() }

// Replaced returns the number of engines that have lost their place to a new one since the start.
func (t *Table) Replaced() uint64 { return t.replaced.Load() }

// place returns the shard of an engine, and the hash by which it is found there. The shard is chosen by xxhash. Whoever
// chooses his ids can make all of them equal by that hash, which is nobody's secret; the cell goes by one with a key of
// this process, so that no choice of ids makes a search long.
func (t *Table) place(engineID string) (p *part, hash uint64) {
	return &t.parts[xxhash.Sum64String(engineID)>>(64-shardBits)], maphash.String(t.seed, engineID)
}

// Apply applies a state that came from source at the instant at, and returns what became of it. Strings of in are
// copied when they are kept: they may alias a buffer that the caller reuses. It allocates only for an engine it does
// not hold and for a scheduling mode that is new to the engine: none of the usual ones, or of a state out of order.
//
// A new engine takes the place of another one when the table is full: of the longest stale; while none is stale, of the
// one that has sent a single state longest ago, if that was at least probation ago. If there is neither, it is refused.
// Half of the places of the latter kind are for engines that have been refused before: in a flood of invented ids, each of
// which comes once, a real engine is taken in when it comes again.
func (t *Table) Apply(in *state.State, source netip.AddrPort, at state.Instant) state.Outcome {
	p, hash := t.place(in.EngineID)
	for {
		if s := p.index.Load().find(hash, in.EngineID); s != nil {
			if outcome, ok := s.apply(in, source, at, &t.cfg.Rules); ok {
				return outcome
			}
			continue // it has just been removed
		}
		if outcome, inserted := t.insert(p, hash, in, source, at); inserted {
			return outcome
		}
		// Somebody else has inserted it.
	}
}

// insert adds a new engine if there is a place for it; inserted is false when the engine is there after all.
func (t *Table) insert(p *part, hash uint64, in *state.State, source netip.AddrPort, at state.Instant) (outcome state.Outcome, inserted bool) {
	knocked := t.places.knocked(hash)
	if t.closed(at, knocked) { // a flood of invented ids stays lock-free
		t.places.refuse(hash)
		return state.Refused, p.index.Load().find(hash, in.EngineID) == nil // it may have got the last place just now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index.Load().find(hash, in.EngineID) != nil {
		return 0, false
	}
	ring, ok := t.takePlace(at, knocked)
	if !ok {
		t.places.refuse(hash)
		return state.Refused, true
	}
	s := newSlot(hash, strings.Clone(in.EngineID), ring)
	outcome = s.first(in, source, at, &t.cfg.Rules)
	t.engines.Add(1)
	p.index.Store(p.index.Load().with(s))
	return outcome, true
}

// takePlace takes a place that is free or another engine's, with the memory for a history.
func (t *Table) takePlace(at state.Instant, knocked bool) (ring []recordWords, ok bool) {
	if t.reserve() {
		return newRing(t.cfg.History), true
	}
	return t.replace(at, knocked)
}

// reserve takes one of the table's places if there is one.
func (t *Table) reserve() bool {
	for {
		n := t.reserved.Load()
		if n >= int64(t.cfg.MaxEngines) {
			return false
		}
		if t.reserved.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Get returns what is held of an engine.
func (t *Table) Get(engineID string) (held state.Held, ok bool) {
	s := t.find(engineID)
	if s == nil {
		return held, false
	}
	s.read(&held)
	return held, true
}

// Range calls yield for each engine held until it returns false, in no particular order. The pointer is valid during
// the call; what it points to may be copied and kept. Engines that come or go meanwhile may be seen or not.
func (t *Table) Range(yield func(*state.Held) bool) {
	var held state.Held
	for i := range t.parts {
		for s := range t.parts[i].index.Load().slots() {
			s.read(&held)
			if !yield(&held) {
				return
			}
		}
	}
}

// History returns the last states applied to an engine, oldest first, at most limit of them and no more than the table
// keeps, as they were sent.
func (t *Table) History(engineID string, limit int) (records []state.Record, ok bool) {
	s := t.find(engineID)
	if s == nil {
		return nil, false
	}
	return s.readHistory([]state.Record{}, min(limit, t.cfg.History)), true
}

// PushInterval returns the observed time between an engine's real states; ok is false if it is not known.
func (t *Table) PushInterval(engineID string) (interval time.Duration, ok bool) {
	s := t.find(engineID)
	if s == nil {
		return 0, false
	}
	var records [state.IntervalRecords]state.Record
	return state.PushInterval(s.readHistory(records[:], state.IntervalRecords), &t.cfg.Rules)
}

// LongestGap returns the longest time between two neighbouring real states of an engine with work, among the newest that
// the table keeps; see state.LongestGap.
func (t *Table) LongestGap(engineID string) time.Duration {
	s := t.find(engineID)
	if s == nil {
		return 0
	}
	var records [state.GapRecords]state.Record
	return state.LongestGap(s.readHistory(records[:], state.GapRecords), &t.cfg.Rules)
}

func (t *Table) find(engineID string) *slot {
	p, hash := t.place(engineID)
	return p.index.Load().find(hash, engineID)
}

// Sweep removes every engine that has been silent for longer than silence at the moment now, with its history, and
// returns their number. A later state of a removed engine starts it afresh.
func (t *Table) Sweep(now state.Instant, silence time.Duration) int {
	removed := 0
	for i := range t.parts {
		removed += t.sweepPart(&t.parts[i], now, silence)
	}
	t.removed.Add(uint64(removed))
	t.places.forget(now)
	return removed
}

func (t *Table) sweepPart(p *part, now state.Instant, silence time.Duration) int {
	dead := func(s *slot) bool { return now.Mono-s.receivedMono() > int64(silence) }
	removed := 0
	for s := range p.index.Load().slots() {
		if dead(s) && s.remove(func() bool { return dead(s) }, t.vacate) {
			removed++
		}
	}
	if removed > 0 {
		p.mu.Lock()
		p.index.Store(indexOf(slices.Collect(p.index.Load().slots())))
		p.mu.Unlock()
	}
	return removed
}

// vacate gives a place free. An engine's is free before the engine can be found missing, for its own return.
func (t *Table) vacate() {
	t.engines.Add(-1)
	t.reserved.Add(-1)
}
