package shard

import (
	"iter"
	"slices"
	"sync/atomic"
)

// index finds slots by open addressing with linear probing, at most half full. Slots are only ever added to it, into
// empty cells. One that was removed from the table stays in its cell, unfound, until the index is replaced by another.
type index struct {
	cells []atomic.Pointer[slot] // a power of two
	used  int                    // cells that are not nil; the inserting lock's
}

func newIndex(cells int) *index { return &index{cells: make([]atomic.Pointer[slot], cells)} }

// indexOf returns an index of the given slots with room for as many again, and eight at least.
func indexOf(slots []*slot) *index {
	cells := 8
	for cells < 4*len(slots) {
		cells *= 2
	}
	x := newIndex(cells)
	for _, s := range slots {
		x.put(s)
	}
	return x
}

// find returns the slot of an engine or nil. It takes no lock.
func (x *index) find(hash uint64, engineID string) *slot {
	if s := x.cells[x.cell(hash, engineID)].Load(); s != nil && !s.removed() {
		return s
	}
	return nil
}

// cell returns the cell of an engine's slot, which may have left the table, or the empty one in which its search ends.
func (x *index) cell(hash uint64, engineID string) uint64 {
	mask := uint64(len(x.cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if s := x.cells[i].Load(); s == nil || s.hash == hash && s.engineID == engineID {
			return i
		}
	}
}

// with returns an index that has s too: x itself, or another one if x has no room or a removed slot of the same engine. So
// whoever goes over an index sees an engine once. The caller holds the inserting lock.
func (x *index) with(s *slot) *index {
	if 2*(x.used+1) > len(x.cells) || x.cells[x.cell(s.hash, s.engineID)].Load() != nil {
		x = indexOf(slices.Collect(x.slots()))
	}
	x.put(s)
	return x
}

func (x *index) put(s *slot) {
	mask := uint64(len(x.cells) - 1)
	i := s.hash & mask
	for x.cells[i].Load() != nil {
		i = (i + 1) & mask
	}
	x.cells[i].Store(s)
	x.used++
}

// slots yields every slot that is in the table.
func (x *index) slots() iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		for i := range x.cells {
			if s := x.cells[i].Load(); s != nil && !s.removed() && !yield(s) {
				return
			}
		}
	}
}
