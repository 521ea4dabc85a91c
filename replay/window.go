package replay

import (
	"io"
	"sync/atomic"
	"time"
)

// Window is a part of a stream.
type Window struct {
	src         Source
	start, stop time.Duration
	first       time.Time
	began       bool
	ended       bool // by the stop
	leftOut     atomic.Uint64
}

// Between returns what src, whose times must not go back, holds from start to stop, both counted from its first datagram
// and both included. A stop of 0 is the end. What comes after the stop is not read.
func Between(src Source, start, stop time.Duration) *Window {
	return &Window{src: src, start: start, stop: stop}
}

// Next returns the next datagram of the window.
func (w *Window) Next() (Datagram, error) {
	for !w.ended {
		d, err := w.src.Next()
		if err != nil {
			return Datagram{}, err
		}
		if !w.began {
			w.began, w.first = true, d.Time
		}
		at := d.Time.Sub(w.first)
		if w.stop > 0 && at > w.stop {
			w.leftOut.Add(1)
			w.ended = true
			break
		}
		if at >= w.start {
			return d, nil
		}
		w.leftOut.Add(1)
	}
	return Datagram{}, io.EOF
}

// First returns the time that start and stop are counted from; zero before there was a datagram. It belongs to the
// goroutine that calls Next.
func (w *Window) First() time.Time { return w.first }

// LeftOut returns how many datagrams were read and are not in the window; at any time.
func (w *Window) LeftOut() uint64 { return w.leftOut.Load() }
