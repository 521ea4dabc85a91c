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

// showProgress says until stop is called how far the replay is and what is left: with a bar on a terminal, else with a
// line every 5 s.
func (s *sending) showProgress(w *os.File) (stop func()) {
	every, show, end := 5*time.Second, s.progressLine(w), func() {}
	if term.IsTerminal(int(w.Fd())) {
		every = 500 * time.Millisecond
		show, end = s.progressBar(w)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer end()
		tick := time.NewTicker(every)
		defer tick.Stop()
		last, sent := s.begin, uint64(0)
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				n := s.flows.Sent()
				show(now, n, float64(n-sent)/now.Sub(last).Seconds())
				last, sent = now, n
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// progressLine returns what writes a line.
func (s *sending) progressLine(w *os.File) func(now time.Time, sent uint64, rate float64) {
	return func(now time.Time, sent uint64, rate float64) {
		took, left := now.Sub(s.begin), ""
		if share := s.share(); share > 0 {
			left = fmt.Sprintf(" | %.0f %%, %v left", 100*share, time.Duration(float64(took)*(1/share-1)).Round(time.Second))
		}
		fmt.Fprintf(w, "%4.0fs  sent: %d | datagrams/s: %.0f | errors: %d%s\n", took.Seconds(), sent, rate, s.flows.Failed(), left)
	}
}

// progressBar returns what draws the bar, or where the end is not known a sign that something goes on, and what takes it
// away.
func (s *sending) progressBar(w *os.File) (show func(now time.Time, sent uint64, rate float64), end func()) {
	most := int64(progressParts)
	if s.share() < 0 {
		most = -1
	}
	bar := progressbar.NewOptions64(most, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(30),
		progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine draws too, in a race with this one
	return func(_ time.Time, sent uint64, rate float64) {
		// Of a terminal that is gone there is nobody to tell.
		bar.Describe(fmt.Sprintf("sent %d, %.0f/s, errors %d", sent, rate, s.flows.Failed()))
		if share := s.share(); share >= 0 {
			_ = bar.Set64(int64(share * progressParts))
		} else {
			_ = bar.Add(1)
		}
	}, func() { _ = bar.Clear() }
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
