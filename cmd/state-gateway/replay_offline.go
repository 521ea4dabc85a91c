package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/elrar/state-gateway/internal/api"
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/replay"
	"github.com/elrar/state-gateway/state"
)

// runOffline runs the stream through the gateway's own pipeline, without sockets, on the capture's clock, with the
// settings of c.Flags, and reports what it counted; with c.StatesAt it prints what a router would have seen then instead.
// What it prints on standard output is a function of the capture and the settings.
func (c *replayCommand) runOffline(ctx context.Context, in *input) error {
	settings, _, err := c.Resolve()
	if err != nil {
		return errors.Join(err, in.close())
	}
	offline := offlineSettings(settings)
	var log *os.File
	if c.LogFile != nil && settings.EnableLog {
		if log, err = createLog(settings); err != nil {
			return errors.Join(err, in.close())
		}
		offline.Log = log
	}
	o := replay.NewOffline(in.stream, offline)
	begin := time.Now()
	stopProgress := in.showReading(os.Stderr)
	err = untilDone(ctx, func() error {
		err := errors.Join(c.runTo(o, in), in.finish())
		if _, empty := o.Start(); empty != nil {
			err = errors.Join(err, errors.New(nothing(in.figures(), c.Port)))
		}
		if log != nil {
			err = errors.Join(err, log.Sync(), log.Close())
		}
		return err
	})
	stopProgress()
	took := time.Since(begin)
	if err != nil && log != nil {
		os.Remove(log.Name()) // it is not whole, and would be in the way of the next try
	}
	switch {
	case err != nil:
		return err
	case c.StatesAt != nil:
		return printStates(os.Stdout, o)
	}
	n := o.Statistics().Received
	err = c.printReport(os.Stdout, in.figures(), o)
	fmt.Fprintf(os.Stderr, "state-gateway: %d datagrams in %v, %v each\n", n, took.Round(time.Millisecond), took/time.Duration(n))
	return err
}

// offlineSettings returns those of the settings that have a meaning offline, without a log.
func offlineSettings(s config.Settings) replay.OfflineSettings {
	return replay.OfflineSettings{StaleThreshold: s.StaleThreshold, SenderClock: s.SenderClock, HeartbeatMerge: s.HeartbeatMerge,
		Broadcast: s.NetworkMode == config.Broadcast, MaxDatagram: s.MaxDatagram, RemoveAfter: s.RemoveAfter, History: s.History,
		MaxEngines: s.MaxEngines}
}

// createLog creates the file of the state log. One that is there already may be the capture itself, or the log of the
// gateway that runs: it is neither written to nor locked.
func createLog(s config.Settings) (*os.File, error) {
	f, err := os.OpenFile(s.LogFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, s.LogMode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, unavailable(fmt.Errorf("VLLM_STATE_GATEWAY_LOG_FILE=%s (--log-file): the file exists", oneLine(s.LogFile)),
			"offline, the log is written to a new file only")
	case err != nil:
		return nil, unavailable(fmt.Errorf("VLLM_STATE_GATEWAY_LOG_FILE=%s (--log-file): %w", oneLine(s.LogFile), err), "")
	}
	return f, f.Chmod(s.LogMode) // whatever the umask
}

// untilDone runs work and returns its error; or, if ctx is done earlier, the cause, and leaves work to the end of the
// process, which is near: it may be waiting for a pipe that nobody writes to.
func untilDone(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish closes the capture, and says which files broke off.
func (in *input) finish() error {
	err := in.close()
	for _, broken := range in.breaks {
		fmt.Fprintln(os.Stderr, "state-gateway:", oneLine(broken.Error()))
	}
	return err
}

// runTo runs o to its end, or to --states-at, whose offsets count from where those of --start do.
func (c *replayCommand) runTo(o *replay.Offline, in *input) error {
	first, err := o.Start()
	if c.StatesAt == nil || c.StatesAt.end || err != nil {
		return o.Run()
	}
	given := "--states-at=" + oneLine(c.StatesAt.text)
	at := c.StatesAt.in(in.round.window.First())
	if at.Before(first) {
		return fmt.Errorf("%s is before the capture, which begins at %s; an offset has a unit, as 12.5s has", given, timeText(first))
	}
	err = o.RunTo(at)
	if last := time.Unix(0, o.Statistics().LastReceived); err == nil && o.Ended() && at.After(last) {
		fmt.Fprintf(os.Stderr, "state-gateway: %s is %v after the last datagram: all have been silent since\n", given, at.Sub(last))
	}
	return err
}

// printStates prints what GET /v1/engine-states would have answered, sorted by engine_id.
func printStates(w io.Writer, o *replay.Offline) error {
	states := api.AppendEngineStates(nil, func(yield func(*state.Held) bool) {
		for _, e := range o.Engines() {
			if !yield(&e.Held) {
				return
			}
		}
	})
	_, err := w.Write(append(states, '\n'))
	return err
}

// printReport prints what was read and what became of it.
func (c *replayCommand) printReport(w io.Writer, f inputFigures, o *replay.Offline) error {
	var text strings.Builder
	start, _ := o.Start() // there was a datagram
	fmt.Fprintf(&text, "%s offline, %s\n", oneLine(strings.Join(c.Files, " ")), spanText(start, o.Now()))
	c.figuresOfInput(&text, f)
	figuresOfGateway(&text, o.Statistics())
	_, err := io.WriteString(w, text.String())
	return err
}

// spanText says from when to when.
func spanText(from, to time.Time) string {
	return fmt.Sprintf("%v captured from %s to %s", to.Sub(from), timeText(from), timeText(to))
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// figuresOfGateway writes the counters of a gateway without sockets.
func figuresOfGateway(text io.Writer, s replay.Statistics) {
	rejections := map[string]uint64{}
	var rejected uint64
	for reason, n := range s.Rejected {
		if n > 0 {
			rejections[state.Reason(reason).String()] = n
			rejected += n
		}
	}
	figure(text, "received", int64(s.Received), fmt.Sprintf(", %d bytes", s.Bytes))
	if s.Broadcast > 0 {
		figure(text, "broadcast", int64(s.Broadcast), ", by the looks of the address")
	}
	figure(text, "rejected", int64(rejected), reasons(rejections))
	figure(text, "applied", int64(s.Applied), "")
	figure(text, "duplicate", int64(s.Duplicate), "")
	figure(text, "out_of_order", int64(s.OutOfOrder), "")
	figure(text, "clock_reset", int64(s.ClockReset), "")
	figure(text, "heartbeats", int64(s.Heartbeats), "")
	figure(text, "conflicts", int64(s.Conflicts), "")
	figure(text, "removed", int64(s.Removed), "")
	figure(text, "replaced", int64(s.Replaced), "")
	held := 0
	for _, n := range s.Engines {
		held += n
	}
	figure(text, "engines", int64(held), ": "+byStatus(s))
	if s.Log.Enabled {
		figure(text, "logged", int64(s.Log.Written), "")
	}
}
