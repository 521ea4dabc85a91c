package state

import (
	"math"
	"time"
)

// skewWindow is the smallest of the values of the last minute, in bounded memory: the smallest of each of 31 spans of
// 2 s, so that a value counts for 60 to 62 s.
type skewWindow struct {
	end      int64 // of the current span, monotonic ns; noSpan before the first value
	current  int64 // smallest of the current span
	smallest int64 // of all spans
}

// skewSpans are the smallest values of the spans before the current one, whose place is at.
type skewSpans struct {
	at     int
	values [skewSpanCount]int64
}

const (
	skewSpan      = 2 * int64(time.Second)
	skewSpanCount = 31

	noSpan = math.MinInt64
)

// addSkew adds a value at the moment now, monotonic ns, and returns the smallest of the window.
func (m *Memory) addSkew(value, now int64) int64 {
	w := &m.skew
	if now >= w.end {
		w.advance(&m.spans, now)
	}
	w.current = min(w.current, value)
	w.smallest = min(w.smallest, value)
	return w.smallest
}

// advance begins the span that now is in, and forgets those that have left the window.
func (w *skewWindow) advance(spans *skewSpans, now int64) {
	passed := int64(skewSpanCount) // at the first value: all of them
	if w.end != noSpan {
		passed = min((now-w.end)/skewSpan+1, skewSpanCount)
	}
	spans.values[spans.at] = w.current
	for range passed {
		spans.at = (spans.at + 1) % skewSpanCount
		spans.values[spans.at] = math.MaxInt64
	}
	w.end = (now/skewSpan + 1) * skewSpan
	w.current = math.MaxInt64
	w.smallest = math.MaxInt64
	for _, v := range spans.values {
		w.smallest = min(w.smallest, v)
	}
}
