package shard

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/state"
)

const (
	// probation is how long an engine that has sent a single state keeps its place in a full table. It is two and a half
	// pushes of the usual 200 ms: a real engine has sent its second state by then, an invented id has not.
	probation = 500 * time.Millisecond

	// lookInterval is the usual time between two looks over a full table, for each lookEngines of its engines. A look takes
	// about 0.1 µs an engine: 2 % of a processor while a full table is flooded with new ids. Who has fallen silent since the
	// last look is found by the next one.
	lookInterval = 50 * time.Millisecond
	lookEngines  = 10_000
)

// candidates are the engines that may lose their place, as the last look over the table found them. Taking the next one
// takes no lock; who looks over the table again holds mu.
type candidates struct {
	interval time.Duration // lookInterval
	mu       sync.Mutex
	last     atomic.Pointer[look]
	knocks   atomic.Pointer[knocks] // nil before the first
}

// forget lets go of an old look, which keeps slots that have left the table from the collector.
func (c *candidates) forget(now state.Instant) {
	if l := c.last.Load(); l != nil && now.Mono >= l.until {
		c.last.CompareAndSwap(l, nil)
	}
}

// look is what one look over the table found: candidates in the order in which they go.
type look struct {
	until int64 // monotonic ns: from then on the table is looked over again
	slots []*slot
	open  int64        // so many of the first slots are for anybody, the others for those who have knocked before
	next  atomic.Int64 // place in slots
}

// end returns how many of the slots are for a new engine.
func (l *look) end(knocked bool) int64 {
	if knocked {
		return int64(len(l.slots))
	}
	return l.open
}

// knocks are the hashes of new engines that were refused, each in two places that follow from it, and the last one in each
// place. In a flood of 50,000 invented ids a second 24 of 25 are still in one of them after the 200 ms in which a real
// engine comes again; with a single place each, two engines that share it could keep each other out for long.
type knocks [1 << 16]atomic.Uint64

func (k *knocks) places(hash uint64) (a, b *atomic.Uint64) {
	return &k[hash%uint64(len(k))], &k[hash>>16%uint64(len(k))]
}

// knocked reports whether an engine was refused not long ago.
func (c *candidates) knocked(hash uint64) bool {
	k := c.knocks.Load()
	if k == nil {
		return false
	}
	a, b := k.places(hash)
	return a.Load() == hash || b.Load() == hash
}

// refuse remembers that an engine was refused.
func (c *candidates) refuse(hash uint64) {
	k := c.knocks.Load()
	if k == nil {
		c.knocks.CompareAndSwap(nil, new(knocks))
		k = c.knocks.Load()
	}
	a, b := k.places(hash)
	a.Store(hash)
	b.Store(hash)
}

// closed reports whether the table is full and known to have nobody who may be replaced.
func (t *Table) closed(at state.Instant, knocked bool) bool {
	if t.reserved.Load() < int64(t.cfg.MaxEngines) {
		return false
	}
	l := t.places.last.Load()
	return l != nil && at.Mono < l.until && l.next.Load() >= l.end(knocked)
}

// replace takes the place of another engine, for the caller to fill, with the memory of its history; ok is false when
// none may be taken.
func (t *Table) replace(at state.Instant, knocked bool) (ring []recordWords, ok bool) {
	l, fresh := t.places.last.Load(), false
	for {
		if l == nil || at.Mono >= l.until {
			l, fresh = t.look(at), true
		}
		for l.next.Load() < l.end(knocked) {
			i := l.next.Add(1) - 1
			if i >= int64(len(l.slots)) {
				break
			}
			s := l.slots[i]
			if s.remove(func() bool { return t.standing(s, at) != settled }, func() { t.engines.Add(-1) }) {
				t.replaced.Add(1)
				return s.history, true
			}
		}
		if fresh || at.Mono < l.until {
			return nil, false
		}
	}
}

// look looks over the table, unless somebody else has just done it.
func (t *Table) look(at state.Instant) *look {
	t.places.mu.Lock()
	defer t.places.mu.Unlock()
	if l := t.places.last.Load(); l != nil && at.Mono < l.until {
		return l
	}
	type candidate struct {
		slot     *slot
		standing standing
		received int64
	}
	var found []candidate
	engines := 0
	for i := range t.parts {
		for s := range t.parts[i].index.Load().slots() {
			engines++
			if st := t.standing(s, at); st != settled {
				found = append(found, candidate{s, st, s.receivedMono()})
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.standing, b.standing), cmp.Compare(a.received, b.received), cmp.Compare(a.slot.engineID, b.slot.engineID))
	})
	interval := int64(t.places.interval) * int64(1+engines/lookEngines)
	l := &look{until: at.Mono + interval/2 + jitter(at.Mono, interval), slots: make([]*slot, len(found))}
	dead := 0
	for i, c := range found {
		l.slots[i] = c.slot
		if c.standing == stale {
			dead++
		}
	}
	l.open = int64(dead + (len(found)-dead+1)/2)
	t.places.last.Store(l)
	return l
}

// jitter returns a number from 0 to below limit that follows from the moment and looks like chance: an engine that pushes
// every 200 ms would otherwise come too late each time, or never.
func jitter(mono, limit int64) int64 {
	return int64(uint64(mono) * 0x9e3779b97f4a7c15 >> 33 * uint64(limit) >> 31)
}

// standing is how good an engine's claim to its place is, the worst first.
type standing uint8

const (
	stale    standing = iota // it has fallen silent
	untested                 // it has sent a single state, probation ago or earlier
	settled
)

func (t *Table) standing(s *slot, at state.Instant) standing {
	var h state.Held
	applied := s.applied()
	s.load(applied, &h) // whoever decides holds the slot; a look may see a mixture of two states, and be wrong about it
	switch {
	case h.Status(at, &t.cfg.Rules) == state.Stale:
		return stale
	case applied == 1 && h.Silence(at) >= probation:
		return untested
	default:
		return settled
	}
}
