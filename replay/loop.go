package replay

import (
	"io"
	"time"
)

// pushInterval is the usual time between two states of one engine.
const pushInterval = 200 * time.Millisecond

// looped runs a capture in rounds.
type looped struct {
	open   func() (Source, error)
	rounds int // left, the present one not counted
	src    Source

	begun  bool          // the present round has had a datagram
	first  time.Time     // of the present round, moved
	last   time.Time     // of all that came
	count  int           // of the present round
	offset time.Duration // of the present round
}

// Loop returns what open opens, rounds times: each round goes on in captured time one mean gap after the end of the one
// before it, so that the rate stays what it was. open is called for each round when it begins, the first one too; it may
// close what it returned before. The times of what it opens must not go back.
func Loop(rounds int, open func() (Source, error)) Source {
	return &looped{open: open, rounds: rounds}
}

func (l *looped) Next() (Datagram, error) {
	for {
		if l.src == nil {
			if l.rounds == 0 {
				return Datagram{}, io.EOF
			}
			src, err := l.open()
			if err != nil {
				return Datagram{}, err
			}
			l.src, l.begun = src, false
			l.rounds--
		}
		d, err := l.src.Next()
		if err == io.EOF {
			l.src = nil
			continue
		}
		if err != nil {
			return Datagram{}, err
		}
		if !l.begun {
			l.begin(d.Time)
		}
		d.Time = d.Time.Add(l.offset)
		d.shift += l.offset
		l.last = d.Time
		l.count++
		return d, nil
	}
}

// begin sets the offset of a round whose first datagram was captured at a time.
func (l *looped) begin(at time.Time) {
	if l.count > 0 {
		gap := pushInterval // of a capture of one moment
		if l.last.After(l.first) {
			gap = l.last.Sub(l.first) / time.Duration(l.count-1)
		}
		l.offset = l.last.Add(gap).Sub(at)
	}
	l.begun, l.first, l.count = true, at.Add(l.offset), 0
}
