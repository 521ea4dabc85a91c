package shard

import "github.com/elrar/state-gateway/state"

// Follow returns a function that finds what has changed in the table since its last call; at its first call, everything.
// It calls changed for each engine that a state was applied to, with what is held of it now, and then removed for each
// that has left the table. The pointer is valid during the call; what it points to may be copied and kept. An engine
// that left and came back is among the changed only. What happens during a call is found by it or by the next one.
//
// A call reads one word of each engine held, and more only of those that changed: some 0.1 ms for 10,000 engines of which
// none did. It is not safe for concurrent use. What it has seen takes 64 bytes an engine while the function is kept.
func (t *Table) Follow() func(changed func(*state.Held), removed func(engineID string)) {
	parts := make([]followed, shards)
	return func(changed func(*state.Held), removed func(string)) {
		for i := range parts {
			parts[i].next(t.parts[i].index.Load(), changed, removed)
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
}

func (f *followed) next(x *index, changed func(*state.Held), removed func(string)) {
	left := f.move(x)
	var held state.Held
	for i := range f.cells {
		c := &f.cells[i]
		if c.slot == nil {
			if c.slot = x.cells[i].Load(); c.slot == nil {
				continue
			}
		}
		if c.slot.applied() != c.applied {
			c.applied = c.slot.read(&held)
			changed(&held)
		}
	}
	for _, c := range left {
		if x.find(c.slot.hash, c.slot.engineID) == nil { // else it has come back, and is among the changed now or next time
			removed(c.slot.engineID)
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
		if c.slot != nil {
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
