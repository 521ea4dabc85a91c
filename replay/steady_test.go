package replay

import (
	"testing"
	"time"
)

func TestSteady(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, test := range []struct {
		name     string
		in, want []time.Duration
		resets   uint64
	}{
		{"in order", []time.Duration{0, s, s, 5 * s}, []time.Duration{0, s, s, 5 * s}, 0},
		{"a little out of order", []time.Duration{0, 300 * ms, 100 * ms, 200 * ms, 400 * ms}, []time.Duration{0, 300 * ms, 300 * ms, 300 * ms, 400 * ms}, 0},
		{"set back by an hour", []time.Duration{time.Hour, time.Hour + s, s, 3 * s, 2 * s, 4 * s},
			[]time.Duration{time.Hour, time.Hour + s, time.Hour + s, time.Hour + 3*s, time.Hour + 3*s, time.Hour + 4*s}, 1},
		{"set back twice", []time.Duration{10 * s, 5 * s, 6 * s, 0, s}, []time.Duration{10 * s, 10 * s, 11 * s, 11 * s, 12 * s}, 2},
		{"set forward", []time.Duration{0, time.Hour, time.Hour + s}, []time.Duration{0, time.Hour, time.Hour + s}, 0},
		{"back to before 1970", []time.Duration{0, -epoch.Sub(time.Unix(-9, 0))}, []time.Duration{0, 0}, 1},
	} {
		steady := Steady(after(test.in...))
		all := collect(t, steady)
		equal(t, test.name, offsets(all), test.want)
		if steady.Resets() != test.resets {
			t.Errorf("%s: %d resets, want %d", test.name, steady.Resets(), test.resets)
		}
		for i, text := range payloads(all) {
			if text != string(after(test.in...).datagrams[i].Payload) {
				t.Errorf("%s: payload %d is %s", test.name, i, text)
			}
		}
	}
}
