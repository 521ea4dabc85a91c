package replay

import (
	"sync/atomic"
	"time"
)

// mostDisorder is how far back captured time may go without being taken for a clock that was set: what several
// processors captured, and what several workers wrote into one log, is out of order by a fraction of this.
const mostDisorder = time.Second

// Steadied is a stream whose time never goes back.
type Steadied struct {
	src    Source
	last   time.Time
	ahead  time.Duration // of the captured clock, by how much it was set back
	resets atomic.Uint64
}

// Steady returns src with times that never go back. A datagram that is a little earlier than the one before it gets that
// one's time. After a greater step, of a clock that was set back or to the next of files that are not in order, time goes
// on from where it was. A clock that was set forward looks like a pause, and is left.
func Steady(src Source) *Steadied { return &Steadied{src: src} }

// Next returns the next datagram.
func (s *Steadied) Next() (Datagram, error) {
	d, err := s.src.Next()
	if err != nil {
		return Datagram{}, err
	}
	d.Time = d.Time.Add(s.ahead)
	if back := s.last.Sub(d.Time); back > 0 && !s.last.IsZero() {
		if back > mostDisorder {
			s.ahead += back
			s.resets.Add(1)
		}
		d.Time = s.last
	}
	s.last = d.Time
	return d, nil
}

// Resets returns how often the captured clock was set back; at any time.
func (s *Steadied) Resets() uint64 { return s.resets.Load() }
