// Package disorder loses, doubles and displaces what comes in order, as a bad network does with datagrams, and
// reproducibly: the same random numbers, the same damage. It has no clock and no sockets.
package disorder

import (
	"math/rand/v2"
	"slices"
)

// Shares say how bad the network is; each is 0 … 1.
type Shares struct {
	Drop      float64 // of all that come, lost
	Duplicate float64 // of the others, twice
	Displace  float64 // of what goes on, copies included, overtaken by one or two later ones
}

// Disorder drops, duplicates and displaces the items of one stream. It is for one goroutine.
//
// The n-th item is due at the place n, n+1 or n+2; of those due at one place, one that is there already goes after the
// newcomer. So it is overtaken by at most two, and never do three that are late follow a newer one, which is how a sender
// whose clock was set back looks.
type Disorder[T any] struct {
	shares Shares
	random *rand.Rand
	place  int
	held   []displaced[T]
	now    []T // Pass's answer
	counts Counts
}

// Counts are what a Disorder has done.
type Counts struct{ Dropped, Duplicated, Displaced uint64 }

type displaced[T any] struct {
	due  int
	item T
}

// New returns the disorder of one stream.
func New[T any](shares Shares, random *rand.Rand) *Disorder[T] {
	return &Disorder[T]{shares: shares, random: random}
}

// Pass takes the stream's next item, and returns those that go now, in order. The slice is valid until the next call.
func (d *Disorder[T]) Pass(item T) (now []T) {
	d.place++
	now = d.now[:0]
	if d.random.Float64() < d.shares.Drop {
		d.counts.Dropped++
	} else {
		copies := 1
		if d.random.Float64() < d.shares.Duplicate {
			copies = 2
			d.counts.Duplicated++
		}
		for range copies {
			if d.random.Float64() < d.shares.Displace {
				d.held = append(d.held, displaced[T]{d.place + 1 + d.random.IntN(2), item})
				d.counts.Displaced++
			} else {
				now = append(now, item)
			}
		}
	}
	d.held = slices.DeleteFunc(d.held, func(h displaced[T]) bool {
		if h.due <= d.place {
			now = append(now, h.item)
		}
		return h.due <= d.place
	})
	d.now = now
	return now
}

// Rest returns what waits to be overtaken by items that will not come.
func (d *Disorder[T]) Rest() (now []T) {
	for _, h := range d.held {
		now = append(now, h.item)
	}
	d.held = nil
	return now
}

// Counts returns what has been done so far.
func (d *Disorder[T]) Counts() Counts { return d.counts }
