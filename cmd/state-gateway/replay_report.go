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
	s.opts.figuresOfInput(&text, f)
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

// figuresOfInput writes what was read, and what the changes made of it.
func (c *replayCommand) figuresOfInput(text io.Writer, f inputFigures) {
	damaged := c.Drop > 0 || c.Duplicate > 0 || c.Reorder > 0
	figure(text, "read", int64(f.records), "")
	figure(text, "skipped", int64(f.skipped()), reasons(f.skips))
	for _, change := range []struct {
		made bool
		name string
		n    uint64
		note string
	}{
		{c.Start > 0 || c.Stop > 0, "left_out", f.leftOut, ""},
		{c.Engines > 1, "added", f.added, ""},
		{c.Engines > 1, "not_multiplied", f.single, ""},
		{damaged, "lost", f.lost, ""},
		{damaged, "doubled", f.doubled, ""},
		{damaged, "overtaken", f.overtaken, ""},
		{f.resets > 0, "clock_set_back", f.resets, ", the captured one: time goes on from where it was"},
	} {
		if change.made {
			figure(text, change.name, int64(change.n), change.note)
		}
	}
}
