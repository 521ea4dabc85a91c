package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report writes what was read and sent.
func (s *sending) report(w io.Writer) error {
	f := s.in.figures()
	captured := s.pacer.Captured()
	var text strings.Builder
	fmt.Fprintf(&text, "%s at %v to udp://%v for %.1f s\n", oneLine(strings.Join(s.opts.Files, " ")), s.opts.Speed, s.target, s.took.Seconds())
	figure(&text, "read", int64(f.records), "")
	figure(&text, "skipped", int64(f.skipped()), reasons(f.skips))
	for _, change := range []struct {
		made bool
		name string
		n    uint64
		note string
	}{
		{s.opts.Start > 0 || s.opts.Stop > 0, "left_out", f.leftOut, ""},
		{s.opts.Engines > 1, "added", f.added, ""},
		{s.opts.Engines > 1, "not_multiplied", f.single, ""},
		{s.in.degraded != nil, "lost", f.lost, ""},
		{s.in.degraded != nil, "doubled", f.doubled, ""},
		{s.in.degraded != nil, "overtaken", f.overtaken, ""},
		{f.resets > 0, "clock_set_back", f.resets, ", the captured one: time goes on from where it was"},
	} {
		if change.made {
			figure(&text, change.name, int64(change.n), change.note)
		}
	}
	figure(&text, "sent", int64(s.flows.Sent()), "")
	figure(&text, "errors", int64(s.flows.Failed()), "")
	if n := s.flows.TooLong(); n > 0 {
		figure(&text, "too_long", int64(n), "")
	}
	if s.cut {
		figure(&text, "not_sent", int64(f.toSend()-s.flows.Sent()-s.flows.TooLong()), ", but read before it was ended")
	}
	figure(&text, "rate", int64(float64(s.flows.Sent())/s.took.Seconds()), "/s")
	fmt.Fprintf(&text, "%-14s %12s, %v of captured time\n", "speed", fmt.Sprintf("%.2fx", captured.Seconds()/s.took.Seconds()), captured.Round(time.Millisecond))
	if l := s.pacer.Lateness(); l.Count() > 0 {
		fmt.Fprintf(&text, "%-14s %12s, p99 %s, max %s\n", "lateness", "p50 "+inMs(l.Quantile(0.5)), inMs(l.Quantile(0.99)), inMs(l.Max()))
	} else {
		fmt.Fprintf(&text, "%-14s %12s: nothing was due at any time\n", "lateness", "none")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func inMs(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
