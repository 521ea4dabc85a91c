package client

import (
	"sync"
	"time"
)

// agreement is the distance within which gateways that have heard of an engine are compared by the state's timestamp. One
// that is further behind has lost the engine, and what it holds may be from before the engine's clock was set back. It
// is five pushes of the usual 200 ms, and a clock that was set back is believed after three.
const agreement = time.Second

// forgetAfter is how long an engine that only lost gateways told of is held when it is stale: as long as a gateway holds
// one that is silent (REMOVE_AFTER). Until then the gateway may come back and tell of it again.
const forgetAfter = 5 * time.Minute

// part is what one gateway says.
type part struct {
	engines map[string]*Engine
	ageing  map[string]struct{} // those of engines that the gateway is not known to hold: all of them while it is lost
	lost    bool
}

// table is what the gateways say of the engines, each in a part of its own, and which of them is believed. It is safe for
// all goroutines; the engines in it are never changed. The zero table has no parts and never changes.
type table struct {
	mu      sync.RWMutex
	parts   []part
	view    map[string]*Engine // the newest of all parts
	changed chan struct{}      // closed at the next change; nil if nobody waits for it
}

// divide makes the parts, all of them empty, before anybody else has the table.
func (t *table) divide(parts int) {
	t.view = map[string]*Engine{}
	t.parts = make([]part, parts)
	for i := range t.parts {
		t.parts[i] = part{engines: map[string]*Engine{}, ageing: map[string]struct{}{}}
	}
}

// update takes the newest of some engines.
func (t *table) update(part int, engines map[string]*told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.take(part, engines)
	t.notify()
}

// replace takes all that a gateway holds. What it does not hold is kept until it is stale: a gateway that has just started
// has not heard of everybody.
func (t *table) replace(part int, engines map[string]*told, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.parts[part]
	p.lost = false
	for id := range p.engines {
		p.ageing[id] = struct{}{}
	}
	t.take(part, engines)
	t.forget(part, now)
	t.notify()
}

// remove drops engines that a gateway has dropped.
func (t *table) remove(part int, ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.drop(part, id)
	}
	t.notify()
}

// lose notes that a gateway tells nothing any more.
func (t *table) lose(part int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.parts[part]
	p.lost = true
	for id := range p.engines {
		p.ageing[id] = struct{}{}
	}
	t.notify()
}

// age does what time alone does between two moments: engines turn stale, and some are forgotten.
func (t *table) age(from, to time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := false
	for i := range t.parts {
		changed = t.forget(i, to) || changed
	}
	for _, e := range t.view {
		if changed {
			break
		}
		changed = e.stale(to) && !e.stale(from)
	}
	if changed {
		t.notify()
	}
}

// take is update for those with the lock.
func (t *table) take(part int, engines map[string]*told) {
	p := &t.parts[part]
	for id, e := range engines {
		p.engines[id] = &e.Engine
		delete(p.ageing, id)
		t.publish(id)
	}
}

// forget drops what a gateway does not hold and is stale; what a lost one told, some time later. It reports whether there
// was any. The caller holds the lock.
func (t *table) forget(part int, now time.Time) (any bool) {
	p := &t.parts[part]
	if p.lost {
		now = now.Add(-forgetAfter)
	}
	for id := range p.ageing {
		if p.engines[id].stale(now) {
			t.drop(part, id)
			any = true
		}
	}
	return any
}

// drop takes an engine from a part. The caller holds the lock.
func (t *table) drop(part int, id string) {
	delete(t.parts[part].engines, id)
	delete(t.parts[part].ageing, id)
	t.publish(id)
}

// publish makes the view of an engine what the parts say of it. The caller holds the lock.
func (t *table) publish(id string) {
	var space [4]*Engine
	said := space[:0]
	for _, part := range t.parts {
		if e := part.engines[id]; e != nil {
			said = append(said, e)
		}
	}
	if len(said) == 0 {
		delete(t.view, id)
		return
	}
	t.view[id] = newest(said)
}

// newest returns the newest of what several gateways say of one engine, the first of those that are equal.
//
// The last to hear of it and those not far behind are asked. A gateway that has had a real state of the engine is believed
// before one that has not (it has just started, and shows no capacity); then the higher timestamp counts, which is the
// same engine's clock in all of them. The engine lives as long as it does for any gateway.
func newest(said []*Engine) *Engine {
	if len(said) == 1 {
		return said[0]
	}
	last, staleAt := said[0].Heard, said[0].staleAt()
	for _, e := range said[1:] {
		if e.Heard.After(last) {
			last = e.Heard
		}
		if e.staleAt().After(staleAt) {
			staleAt = e.staleAt()
		}
	}
	var best *Engine
	for _, e := range said {
		if last.Sub(e.Heard) <= agreement && (best == nil || e.newerThan(best)) {
			best = e
		}
	}
	merged := *best
	merged.Heard, merged.StaleAfter = last, staleAt.Sub(last)
	return &merged
}

// newerThan compares what two gateways say of one engine.
func (e *Engine) newerThan(other *Engine) bool {
	switch {
	case e.known() != other.known():
		return e.known()
	case e.TimestampMs != other.TimestampMs:
		return e.TimestampMs > other.TimestampMs
	}
	return e.Heard.After(other.Heard)
}

// notify tells whoever waits that something has changed. The caller holds the lock.
func (t *table) notify() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// signal is notify for those without the lock.
func (t *table) signal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notify()
}

// next returns a channel that is closed at the next change.
func (t *table) next() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}
