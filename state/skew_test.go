package state

import (
	"testing"
	"time"
)

// TestSkew: the smallest (arrival − timestamp) of the last 60 s, which may count up to 62 s.
func TestSkew(t *testing.T) {
	const ms, second = time.Millisecond, time.Second
	type arrival struct {
		after time.Duration
		delay int64 // ms, arrival − timestamp
		want  int64
	}
	every := func(n int, after time.Duration, delay, want int64) (list []arrival) {
		for range n {
			list = append(list, arrival{after, delay, want})
		}
		return list
	}
	for _, c := range []struct {
		name     string
		arrivals []arrival
	}{
		{"the network's delay", []arrival{{0, 9, 9}, {200 * ms, 3, 3}, {200 * ms, 7, 3}, {200 * ms, 0, 0}}},
		{"ten minutes behind", []arrival{{0, 600_004, 600_004}, {200 * ms, 600_002, 600_002}, {200 * ms, 600_009, 600_002}}},
		{"ten minutes ahead", []arrival{{0, -599_996, -599_996}, {200 * ms, -599_998, -599_998}}},
		{"the sender steps forward: seen at once", append(every(100, 200*ms, 5, 5), every(400, 200*ms, -4995, -4995)...)},
		{"the sender steps back: seen when the minute is over", append(append([]arrival{{0, 5, 5}},
			every(60, second, 5005, 5)...), arrival{2 * second, 5005, 5005})},
		{"counts for 60 s", []arrival{{0, 5, 5}, {60 * second, 50, 5}}},
		{"counts no longer than 62 s", []arrival{{0, 5, 5}, {62 * second, 50, 50}}},
		{"at the end of a span", []arrival{{0, 9, 9}, {2*second - 1, 5, 5}, {60 * second, 50, 5}, {2 * second, 50, 50}}},
		{"long silent", []arrival{{0, 5, 5}, {time.Hour, 50, 50}, {time.Hour, 40, 40}}},
		{"rising for minutes", func() (list []arrival) { // the window forgets one span after the other
			for i := range int64(300) {
				oldest := max(0, i-61)
				list = append(list, arrival{second, i, oldest + oldest%2}) // arrivals begin at a whole span: an even second
			}
			list[0].after = 0
			return list
		}()},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEngine(Rules{StaleThreshold: 2 * second})
			for i, a := range c.arrivals {
				e.r.StaleThreshold = -1 // an older one is always applied: this is not about order
				in := load((e.now.Wall+int64(a.after))/int64(ms)-a.delay, int64(i))
				if got := e.send(t, in, a.after); got&Applied == 0 {
					t.Fatalf("arrival %d: outcome %b", i, got)
				}
				if e.h.ClockSkewMs != a.want {
					t.Fatalf("arrival %d: skew %d, want %d", i, e.h.ClockSkewMs, a.want)
				}
			}
		})
	}
}
