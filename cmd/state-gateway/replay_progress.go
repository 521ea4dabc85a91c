package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressParts is what the whole is divided into for the bar: the time left of a day is then known to the second.
const progressParts = 100_000

// progress is what is shown of a run of which nobody knows how long it takes. Its functions are called from another
// goroutine than the run's.
type progress struct {
	begin  time.Time
	done   string         // what is counted: sent, read
	count  func() uint64  // of datagrams
	errors func() uint64  // nil if none can happen
	share  func() float64 // of the whole, 0 … 1, or -1 if that cannot be known
}

// show says until stop is called how far the run is and what is left: with a bar on a terminal, else with a line every
// 5 s.
func (p progress) show(w *os.File) (stop func()) {
	every, show, end := 5*time.Second, p.line(w), func() {}
	if term.IsTerminal(int(w.Fd())) {
		every = 500 * time.Millisecond
		show, end = p.bar(w)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer end()
		tick := time.NewTicker(every)
		defer tick.Stop()
		last, before := p.begin, uint64(0)
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				n := p.count()
				show(now, n, float64(n-before)/now.Sub(last).Seconds())
				last, before = now, n
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// line returns what writes a line.
func (p progress) line(w *os.File) func(now time.Time, n uint64, rate float64) {
	return func(now time.Time, n uint64, rate float64) {
		took, rest := now.Sub(p.begin), ""
		if p.errors != nil {
			rest = fmt.Sprintf(" | errors: %d", p.errors())
		}
		if share := p.share(); share > 0 {
			rest += fmt.Sprintf(" | %.0f %%, %v left", 100*share, time.Duration(float64(took)*(1/share-1)).Round(time.Second))
		}
		fmt.Fprintf(w, "%4.0fs  %s: %d | datagrams/s: %.0f%s\n", took.Seconds(), p.done, n, rate, rest)
	}
}

// bar returns what draws the bar, or where the end is not known a sign that something goes on, and what takes it away.
func (p progress) bar(w *os.File) (show func(now time.Time, n uint64, rate float64), end func()) {
	most := int64(progressParts)
	if p.share() < 0 {
		most = -1
	}
	bar := progressbar.NewOptions64(most, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(30),
		progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine draws too, in a race with this one
	return func(_ time.Time, n uint64, rate float64) {
		text := fmt.Sprintf("%s %d, %.0f/s", p.done, n, rate)
		if p.errors != nil {
			text += fmt.Sprintf(", errors %d", p.errors())
		}
		bar.Describe(text)
		// Of a terminal that is gone there is nobody to tell.
		if share := p.share(); share >= 0 {
			_ = bar.Set64(int64(share * progressParts))
		} else {
			_ = bar.Add(1)
		}
	}, func() { _ = bar.Clear() }
}

// showProgress shows how far the replay is until stop is called.
func (s *sending) showProgress(w *os.File) (stop func()) {
	return progress{s.begin, "sent", s.flows.Sent, s.flows.Failed, s.share}.show(w)
}

// share returns which part of the whole has been handed out to be sent, or -1 if that cannot be known.
//
// It is the part of the bytes read, less the datagrams that were read ahead; and where --stop says so, the part of the time.
func (s *sending) share() float64 {
	f := s.in.figures()
	handed, read := s.pacer.Handed()
	share := -1.0
	if f.size > 0 {
		share = float64(f.bytes) / float64(f.size) * float64(handed) / float64(max(read, 1))
	}
	if s.opts.Stop > 0 {
		whole := (s.opts.Stop - s.opts.Start) * time.Duration(s.opts.Loop)
		share = max(share, float64(s.pacer.Captured())/float64(max(whole, 1)))
	}
	return min(share, 1)
}

// showReading shows how far the capture has been read until stop is called.
func (in *input) showReading(w *os.File) (stop func()) {
	return progress{begin: time.Now(), done: "read", count: func() uint64 { return in.figures().records }, share: func() float64 {
		if f := in.figures(); f.size > 0 {
			return min(float64(f.bytes)/float64(f.size), 1)
		}
		return -1
	}}.show(w)
}
