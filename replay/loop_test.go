package replay

import (
	"errors"
	"testing"
	"time"
)

func TestLoop(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name     string
		rounds   int
		in, want []time.Duration
	}{
		{"once", 1, []time.Duration{0, s, 4 * s}, []time.Duration{0, s, 4 * s}},
		{"thrice, with the mean gap between", 3, []time.Duration{0, s, 4 * s},
			[]time.Duration{0, s, 4 * s, 6 * s, 7 * s, 10 * s, 12 * s, 13 * s, 16 * s}},
		{"one datagram", 3, []time.Duration{s}, []time.Duration{s, s + pushInterval, s + 2*pushInterval}},
		{"one moment", 2, []time.Duration{s, s}, []time.Duration{s, s, s + pushInterval, s + pushInterval}},
		{"nothing", 3, nil, nil},
	} {
		opened := 0
		all := collect(t, Loop(test.rounds, func() (Source, error) { opened++; return after(test.in...), nil }))
		equal(t, test.name, offsets(all), test.want)
		if opened != test.rounds {
			t.Errorf("%s: opened %d times", test.name, opened)
		}
		for i, d := range all {
			if n := i % len(test.in); string(d.Payload) != string(after(test.in...).datagrams[n].Payload) || d.shift != d.Time.Sub(epoch)-test.in[n] {
				t.Errorf("%s: %d is %s, shifted by %v", test.name, i, d.Payload, d.shift)
			}
		}
	}
}

func TestLoopEndsWithAnError(t *testing.T) {
	broken := errors.New("broken")
	rounds := 0
	for name, open := range map[string]func() (Source, error){
		"a round":        func() (Source, error) { m := after(0); m.err = broken; return m, nil },
		"the next round": func() (Source, error) { rounds++; return after(0), []error{nil, broken}[rounds-1] },
	} {
		l := Loop(9, open)
		if _, err := l.Next(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := l.Next(); err != broken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
