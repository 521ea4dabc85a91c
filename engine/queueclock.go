package engine

import (
	"math"
	"time"
)

// queueClock tells how long datagrams waited in a socket before they were read. The kernel stamps their arrival by the
// wall clock, and ages go by the monotonic one: at each read both are known, and the difference between the stamp and the
// wall clock now is taken off the monotonic one. It belongs to its reader's goroutine.
//
// A wall clock that is set between an arrival and its read makes the wait wrong by as much as it was set. Two bounds hold
// whatever it does: nothing arrives after its read, nor before what was read from the same socket before it.
type queueClock struct {
	origin time.Time // of the monotonic instants
	wall   int64     // of the read at hand, Unix ns
	mono   int64     // of the read at hand, ns since origin
	newest int64     // arrival of the newest datagram so far, ns since origin
}

// newQueueClock returns the clock of a socket of which nothing has been read.
func newQueueClock(origin time.Time) queueClock {
	return queueClock{origin: origin, newest: math.MinInt64} // a socket that was passed on may hold what is older than this process
}

// read begins a batch that was read now.
func (c *queueClock) read(now time.Time) {
	c.wall, c.mono = now.UnixNano(), int64(now.Sub(c.origin))
}

// waited returns how long before the read at hand the batch's next datagram arrived, ≥ 0. stamp is its arrival in Unix ns;
// 0, for none, is the time of the read.
func (c *queueClock) waited(stamp int64) time.Duration {
	arrived := c.mono
	if stamp != 0 {
		arrived -= max(c.wall-stamp, 0)
	}
	c.newest = max(c.newest, arrived)
	return time.Duration(c.mono - c.newest)
}
