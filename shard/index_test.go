package shard

import (
	"fmt"
	"slices"
	"testing"
)

// checkIndex checks that x has exactly the given slots, in reach of find, and is at most half full.
func checkIndex(t *testing.T, x *index, slots []*slot) {
	t.Helper()
	for _, s := range slots {
		if x.find(s.hash, s.engineID) != s {
			t.Fatalf("%d cells: %s is lost", len(x.cells), s.engineID)
		}
	}
	if n := len(slices.Collect(x.slots())); n != len(slots) || x.used != n {
		t.Fatalf("%d slots yielded, %d used; want %d", n, x.used, len(slots))
	}
	if size := len(x.cells); size&(size-1) != 0 || 2*x.used > size {
		t.Fatalf("%d of %d cells used", x.used, size)
	}
}

func TestIndexGrows(t *testing.T) {
	for name, hash := range map[string]func(i int) uint64{
		"spread":           func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 },
		"all the same":     func(int) uint64 { return 42 },
		"all the last":     func(int) uint64 { return ^uint64(0) },
		"low bits equal":   func(i int) uint64 { return uint64(i)<<32 | 7 },
		"runs of the last": func(i int) uint64 { return uint64(i)<<32 | uint64(i%3)*0xffffffff },
	} {
		t.Run(name, func(t *testing.T) {
			x := newIndex(8)
			var slots []*slot
			for i := range 150 {
				s := newSlot(hash(i), fmt.Sprint("engine ", i), newRing(0))
				before := x
				x = x.with(s)
				slots = append(slots, s)
				if x != before && before.find(s.hash, s.engineID) != nil {
					t.Fatal("an index that was replaced has got the new slot")
				}
				checkIndex(t, x, slots)
			}
			checkIndex(t, indexOf(slots), slots)
			checkIndex(t, indexOf(slots[:1]), slots[:1])
			checkIndex(t, indexOf(nil), nil)
		})
	}
}

func TestIndexTellsCollisionsApart(t *testing.T) {
	x := newIndex(8)
	a, b := newSlot(7, "a", newRing(0)), newSlot(7, "b", newRing(0)) // the last cell: b goes round to the first
	c := newSlot(8, "c", newRing(0))                                 // the first cell, which b has
	for _, s := range []*slot{a, b, c} {
		x = x.with(s)
	}
	if len(x.cells) != 8 || x.cells[7].Load() != a || x.cells[0].Load() != b || x.cells[1].Load() != c {
		t.Fatal("not the cells that this test is about")
	}
	checkIndex(t, x, []*slot{a, b, c})
	for _, absent := range []struct {
		hash uint64
		id   string
	}{
		{7, "c"},  // a hash that is there, an id that is there, not of one slot
		{7, "d"},  // a hash that is there
		{8, "a"},  // an id that is there
		{15, "a"}, // … and in the cell where its search begins
		{2, "e"},  // an empty cell
	} {
		if s := x.find(absent.hash, absent.id); s != nil {
			t.Errorf("hash %d, %s: found %s", absent.hash, absent.id, s.engineID)
		}
	}
}

func TestIndexYieldsUntilToldToStop(t *testing.T) {
	x := indexOf([]*slot{newSlot(1, "a", newRing(0)), newSlot(2, "b", newRing(0)), newSlot(3, "c", newRing(0))})
	n := 0
	for range x.slots() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d yielded", n)
	}
}
