package client

import (
	"sync"
	"time"
)

// agreement is the distance within which gateways that have heard of an engine are compared by the state's timestamp. One
// that is further behind has lost the engine, and what it holds may be from before the engine's clock was set back. It
// is five pushes of the usual 200 ms, and a clock that was set back is believed after three.
const agreement = time.Second

// table is what the gateways say of the engines, each in a part of its own, and which of them is believed. It is safe for
// all goroutines; the engines in it are never changed.
type table struct {
	mu      sync.RWMutex
	parts   []map[string]*Engine
	view    map[string]*Engine // the newest of all parts
	changed chan struct{}      // closed at the next change
}

func newTable(parts int) *table {
	t := &table{parts: make([]map[string]*Engine, parts), view: map[string]*Engine{}, changed: make(chan struct{})}
	for i := range t.parts {
		t.parts[i] = map[string]*Engine{}
	}
	return t
}

// update takes the newest of some engines.
func (t *table) update(part int, engines map[string]*told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range engines {
		t.parts[part][id] = &e.Engine
		t.publish(id)
	}
	t.notify()
}

// replace takes all that a gateway holds. What it does not hold is kept until it is stale: a gateway that has just started
// has not heard of everybody.
func (t *table) replace(part int, engines map[string]*told, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.parts[part] {
		if engines[id] == nil && e.stale(now) {
			delete(t.parts[part], id)
			t.publish(id)
		}
	}
	for id, e := range engines {
		t.parts[part][id] = &e.Engine
		t.publish(id)
	}
	t.notify()
}

// remove drops engines that a gateway has dropped.
func (t *table) remove(part int, ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		delete(t.parts[part], id)
		t.publish(id)
	}
	t.notify()
}

// publish makes the view of an engine what the parts say of it. The caller holds the lock.
func (t *table) publish(id string) {
	var space [4]*Engine
	said := space[:0]
	for _, part := range t.parts {
		if e := part[id]; e != nil {
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
	close(t.changed)
	t.changed = make(chan struct{})
}

// signal is notify for those without the lock.
func (t *table) signal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notify()
}

// active returns how many engines are not stale.
func (t *table) active(now time.Time) (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, e := range t.view {
		if !e.stale(now) {
			n++
		}
	}
	return n
}
