package mmsg

import (
	"errors"
	"time"
)

// ErrBatch is returned for a batch of less than one datagram or more than the kernel takes at once (UIO_MAXIOV).
var ErrBatch = errors.New("mmsg: a batch is 1 to 1024 datagrams")

const maxBatch = 1024

// MaxSegments is how many datagrams one segmented send may hold: UDP_MAX_SEGMENTS of kernels before 6.9, which
// doubled it.
const MaxSegments = 64

// slotStride returns the distance between two datagrams of size bytes in a slab: an odd number of 64-byte cache
// lines. A power of two would put the start of every datagram, which is all that most have, into the same few sets of
// the L1 cache (a 4,096-byte stride uses one set of 64).
func slotStride(size int) int {
	lines := (size + 63) / 64
	return (lines | 1) * 64
}

// AwayLimit is how long a reader may leave its socket alone and still take the time of a read for that of the arrival. It
// is half of the usual interval between two states of one engine.
const AwayLimit = 100 * time.Millisecond
