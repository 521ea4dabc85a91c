package shard

import "github.com/elrar/state-gateway/state"

// Follow returns a function that finds what has changed in the table since its last call; at its first call, everything.
// It calls changed for each engine that a state was applied to, with what is held of it now, and then removed for each
// that has left the table. The pointer is valid during the call; what it points to may be copied and kept. An engine
// that left and came back is among the changed only. What happens during a call is found by it or by the next one.
//
// A call reads one word of each engine held, and more only of those that changed: 0.3 ms for 10,000 engines of which
// none did. It is not safe for concurrent use. What it has seen takes 64 bytes an engine while the function is kept.
func (t *Table) Follow() func(changed func(*state.Held), removed func(engineID string)) {
	parts := make([]followed, shards)
	var held state.Held
	return func(changed func(*state.Held), removed func(string)) {
		for i := range parts {
			parts[i].next(t.parts[i].index.Load(), &held, changed, removed)
		}
	}
}

// followed is what was seen of one shard: the slot of each cell of its index, and after how many applied states.
type followed struct {
	index *index
	cells []seen
}

type seen struct {
	slot    *slot // nil: none yet
	applied uint64
	gone    bool // the slot has left the table
}

// next looks at the shard, whose index is x now. What changed is read into held.
func (f *followed) next(x *index, held *state.Held, changed func(*state.Held), removed func(string)) {
	left := f.move(x)
	for i := range f.cells {
		c := &f.cells[i]
		if c.slot == nil {
			if c.slot = x.cells[i].Load(); c.slot == nil {
				continue
			}
		}
		if c.gone {
			continue
		}
		if c.slot.removed() {
			c.gone = true
			if c.applied > 0 { // else nobody was told of it
				left = append(left, *c)
			}
		} else if c.slot.applied() != c.applied {
			c.applied = c.slot.read(held)
			changed(held)
		}
	}
	for _, c := range left {
		back := &f.cells[x.cell(c.slot.hash, c.slot.engineID)]
		if s := x.find(c.slot.hash, c.slot.engineID); s == nil {
			removed(c.slot.engineID)
			back.gone = back.slot != nil // it came back, was told of, and has left again
		} else if back.applied == 0 { // it came back a moment ago
			back.slot, back.applied = s, s.read(held)
			changed(held)
		}
	}
}

// move goes over to another index if x is one: what was seen of its slots stays seen. It returns those that are not in
// it any more. That happens only when a shard has grown or lost engines.
func (f *followed) move(x *index) (left []seen) {
	if x == f.index {
		return nil
	}
	known := make(map[*slot]seen, len(f.cells)/2)
	for _, c := range f.cells {
		if c.slot != nil && !c.gone {
			known[c.slot] = c
		}
	}
	f.index, f.cells = x, make([]seen, len(x.cells))
	for i := range x.cells {
		s := x.cells[i].Load()
		if c, ok := known[s]; ok {
			f.cells[i] = c
			delete(known, s)
		}
	}
	for _, c := range known {
		left = append(left, c)
	}
	return left
}
