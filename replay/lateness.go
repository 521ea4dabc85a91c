package replay

import (
	"math/bits"
	"time"
)

// Lateness is a distribution of times, held in 8 KiB: each to 1/16 of itself, the greatest exactly. Its zero value is
// empty. It is for one goroutine.
type Lateness struct {
	counts [64 * steps]uint64
	count  uint64
	most   time.Duration
}

// steps is into how many parts the times between a power of two (in ns) and the next one are divided.
const steps = 16

// Add adds a time; one below 0 counts as 0.
func (l *Lateness) Add(d time.Duration) {
	d = max(d, 0)
	l.counts[bucket(uint64(d))]++
	l.count++
	l.most = max(l.most, d)
}

// Count returns how many times were added.
func (l *Lateness) Count() uint64 { return l.count }

// Max returns the greatest time.
func (l *Lateness) Max() time.Duration { return l.most }

// Quantile returns a time that a share q (0 … 1) of those added do not exceed, too great by at most 1/16; 0 if there are
// none.
func (l *Lateness) Quantile(q float64) time.Duration {
	need := q * float64(l.count)
	sum := uint64(0)
	for i, n := range l.counts {
		if sum += n; n > 0 && float64(sum) >= need {
			return min(upper(i), l.most)
		}
	}
	return l.most
}

// bucket returns the bucket of a time in ns: one for each of the first 16, then 16 for each power of two.
func bucket(ns uint64) int {
	if ns < steps {
		return int(ns)
	}
	exponent := bits.Len64(ns) - 1 // ≥ 4
	return (exponent-3)*steps + int(ns>>(exponent-4))&(steps-1)
}

// upper returns the greatest time in a bucket.
func upper(bucket int) time.Duration {
	if bucket < steps {
		return time.Duration(bucket)
	}
	exponent := bucket/steps + 3
	width := uint64(1) << (exponent - 4)
	return time.Duration(uint64(steps+bucket%steps)*width + width - 1)
}
