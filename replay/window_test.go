package replay

import (
	"errors"
	"testing"
	"time"
)

func TestBetween(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		start, stop time.Duration
		want        []string
		leftOut     uint64
	}{
		{0, 0, []string{"0", "1", "2", "3", "4"}, 0},
		{s, 0, []string{"1", "2", "3", "4"}, 1},
		{s + 1, 3 * s, []string{"2", "3"}, 3},
		{0, s, []string{"0", "1"}, 1}, // what comes after the stop is not read, but for the datagram that shows it
		{9 * s, 0, nil, 5},
	} {
		w := Between(after(0, s, 2*s, 3*s, 4*s), test.start, test.stop)
		equal(t, test.start.String()+" to "+test.stop.String(), payloads(collect(t, w)), test.want)
		if w.LeftOut() != test.leftOut {
			t.Errorf("%v to %v: %d left out, want %d", test.start, test.stop, w.LeftOut(), test.leftOut)
		}
	}
	broken := errors.New("broken")
	w := Between(&memory{err: broken}, 0, 0)
	if _, err := w.Next(); err != broken {
		t.Errorf("an error: %v", err)
	}
}
