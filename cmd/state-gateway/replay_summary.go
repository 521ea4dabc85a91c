package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/elrar/state-gateway/replay"
)

// listedEngines is how many engines a summary lists, those with the most trouble: what fits on a screen.
const listedEngines = 20

// runSummary prints what the stream holds, as a gateway with the settings of c.Flags understands it.
func (c *replayCommand) runSummary(ctx context.Context, in *input) error {
	settings, _, err := c.Resolve()
	if err != nil {
		return errors.Join(err, in.close())
	}
	var sum *replay.Summary
	stopProgress := in.showReading(os.Stderr)
	err = untilDone(ctx, func() (err error) {
		sum, err = replay.Summarize(in.stream, offlineSettings(settings))
		return errors.Join(err, in.finish())
	})
	stopProgress()
	switch {
	case err != nil:
		return err
	case sum.First.IsZero():
		return errors.New(nothing(in.figures(), c.Port))
	}
	return c.printSummary(os.Stdout, in.figures(), sum)
}

func (c *replayCommand) printSummary(w io.Writer, f inputFigures, sum *replay.Summary) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %s\n", oneLine(strings.Join(c.Files, " ")), spanText(sum.First, sum.Last))
	c.figuresOfInput(&text, f)
	figuresOfGateway(&text, sum.Statistics)
	figure(&text, "gaps", int64(sum.Gaps), ": silences that made an engine stale")
	if took := sum.Last.Sub(sum.First); took > 0 {
		figure(&text, "rate", int64(float64(sum.Statistics.Received)/took.Seconds()), fmt.Sprintf("/s, at most %d in one second", sum.Peak))
	}
	if sum.Unlisted > 0 {
		figure(&text, "unlisted", int64(sum.Unlisted), ", states of too many engines to tell apart")
	}
	text.WriteString("\n")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "engine\tat the end\tstates\tinterval\tgaps\tlongest silence\tduplicate\tout of order\tclock reset\theartbeats\tconflicts\tclock skew")
	listed := sum.Engines[:min(len(sum.Engines), listedEngines)]
	for _, e := range listed {
		status := e.Status.String()
		if e.Removed {
			status = "removed"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", oneLine(e.EngineID), status, e.Applied, intervalText(e.PushInterval),
			e.Gaps, msText(e.LongestSilence), e.Duplicate, e.OutOfOrder, e.ClockReset, e.Heartbeats, e.Conflicts, skewText(e.LeastSkewMs, e.GreatestSkewMs))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := len(sum.Engines) - len(listed); more > 0 {
		fmt.Fprintf(&text, "and %d more, with no more trouble than these\n", more)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func msText(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func intervalText(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return msText(d)
}

func skewText(least, greatest int64) string {
	if least == greatest {
		return fmt.Sprintf("%d ms", least)
	}
	return fmt.Sprintf("%d … %d ms", least, greatest)
}
