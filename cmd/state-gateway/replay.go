package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/elrar/state-gateway/internal/config"
)

type replayCommand struct {
	Files []string `arg:"" name:"file" help:"Captured traffic: state logs, pcap and pcapng files, also .gz and .zst, merged by time; - is standard input."`

	Port  uint16        `default:"9999" help:"UDP destination port of the datagrams in pcap and pcapng files; 0 is every port (${default})."`
	Start time.Duration `default:"0s" help:"Leave out what was captured before this, counted from the first datagram."`
	Stop  time.Duration `default:"0s" help:"Leave out what was captured later than this, counted from the first datagram; 0s is to the end."`
	Loop  int           `default:"1" help:"Rounds: each goes on where the captured time of the one before it ended."`

	Engines     int     `default:"1" help:"Engines to make of each captured one, with ids and phases of their own."`
	Retime      bool    `help:"Move timestamp_ms to now, keeping the differences; else not a byte is changed."`
	Drop        float64 `default:"0" placeholder:"PERCENT" help:"How many datagrams are lost."`
	Duplicate   float64 `default:"0" placeholder:"PERCENT" help:"How many of the others come twice."`
	Reorder     float64 `default:"0" placeholder:"PERCENT" help:"How many are overtaken by one or two later ones of their engine."`
	ShuffleSeed uint64  `default:"1" placeholder:"N" help:"Which datagrams the three concern: the same seed, the same ones."`

	Target  string      `default:"127.0.0.1:9999" placeholder:"HOST:PORT" help:"Where to send (${default})."`
	Speed   replaySpeed `default:"1x" help:"How fast captured time goes, such as 1x, 0.5x or 10x; max is as fast as can be sent."`
	Rate    loadRate    `default:"max" help:"Most datagrams per second, or max."`
	Gateway *gatewayURL `placeholder:"URL" help:"HTTP address of the gateway, to reconcile what was sent with what it counted."`

	Offline  bool    `help:"Send nothing: run the capture through the gateway's own rules on the captured clock. The state log is written if --log-file names a new file."`
	StatesAt *moment `placeholder:"TIME" help:"Send nothing: print what a router would have seen then, such as 12.5s after the first datagram, 2026-01-31T12:00:00Z, Unix time, or end."`
	Summary  bool    `help:"Send nothing: print what the capture holds."`

	config.Flags `group:"Settings of the gateway, for --offline, --states-at and --summary:"`
}

const (
	mostReplayEngines = 100_000
	mostReplayRounds  = 1_000_000
)

// Validate refuses what kong, which calls it, lets through.
func (c *replayCommand) Validate(parsed *kong.Context) error {
	if err := checkTarget(c.Target); err != nil {
		return fmt.Errorf("--target %w", err)
	}
	for _, share := range []struct {
		name    string
		percent float64
	}{{"drop", c.Drop}, {"duplicate", c.Duplicate}, {"reorder", c.Reorder}} {
		if !(share.percent >= 0 && share.percent <= 100) {
			return fmt.Errorf("--%s must be from 0 to 100 (percent)", share.name)
		}
	}
	modes := 0
	for _, on := range []bool{c.Offline || c.StatesAt != nil, c.Summary, c.Gateway != nil} {
		if on {
			modes++
		}
	}
	switch {
	case c.Start < 0:
		return errors.New("--start must not be negative")
	case c.Stop < 0:
		return errors.New("--stop must not be negative")
	case c.Stop > 0 && c.Stop < c.Start:
		return errors.New("--stop must not be before --start")
	case c.Loop < 1 || c.Loop > mostReplayRounds:
		return fmt.Errorf("--loop must be from 1 to %d", mostReplayRounds)
	case c.Loop > 1 && slices.ContainsFunc(c.Files, readOnce):
		return errors.New("--loop is for files: standard input and pipes can be read once only")
	case c.Engines < 1 || c.Engines > mostReplayEngines:
		return fmt.Errorf("--engines must be from 1 to %d", mostReplayEngines)
	case modes > 1:
		return errors.New("--offline (or --states-at), --summary and --gateway exclude each other")
	}
	return c.checkMeaning(parsed)
}

// withoutIdleSettings is for kong: it takes from the command's settings those that have an effect only in a gateway that runs.
func withoutIdleSettings(k *kong.Kong) error {
	for _, command := range k.Model.Children {
		if command.Name == "replay" {
			command.Flags = slices.DeleteFunc(command.Flags, func(f *kong.Flag) bool { return len(f.Envs) > 0 && !f.Tag.Has("offline") })
		}
	}
	return nil
}

// readOnce reports whether a file cannot be read from its start again. Of one that is not there Open tells.
func readOnce(file string) bool {
	info, err := os.Stat(file)
	return file == "-" || err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0
}

// checkMeaning refuses flags that would be without a meaning: whoever forgets --offline must not send a capture to the
// gateway that runs. The settings are the flags with variables; a variable alone may be set for that gateway, and stands.
func (c *replayCommand) checkMeaning(parsed *kong.Context) error {
	for _, element := range parsed.Path {
		switch flag := element.Flag; {
		case flag == nil:
		case c.sends() && len(flag.Envs) > 0:
			return fmt.Errorf("--%s is for --offline, --states-at and --summary: a gateway that is sent to has settings of its own", flag.Name)
		case !c.sends() && slices.Contains([]string{"target", "speed", "rate"}, flag.Name):
			return fmt.Errorf("--%s is for sending: --offline, --states-at and --summary send nothing", flag.Name)
		}
	}
	return nil
}

// sends reports whether the capture is to be sent, and not only looked at.
func (c *replayCommand) sends() bool { return !c.Offline && c.StatesAt == nil && !c.Summary }

// Run runs the capture until its end, or a signal.
func (c *replayCommand) Run() error {
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	if c.sends() {
		return c.send(ctx)
	}
	in, err := c.open(ctx, func(first time.Time) time.Time { return first }, 1)
	if err != nil {
		return err
	}
	run := c.runOffline
	if c.Summary {
		run = c.runSummary
	}
	return run(ctx, in)
}

// replaySpeed is how many seconds of captured time pass in one; 0 is "max".
type replaySpeed float64

// UnmarshalText takes a positive number, an x behind it or not, or "max".
func (s *replaySpeed) UnmarshalText(text []byte) error {
	if string(text) == "max" {
		*s = 0
		return nil
	}
	number := text
	if n := len(text); n > 0 && text[n-1] == 'x' {
		number = text[:n-1]
	}
	v, err := strconv.ParseFloat(string(number), 64)
	if err != nil || !(v >= leastReplaySpeed && v <= mostReplaySpeed) {
		return fmt.Errorf("must be max or a number such as 1x or 10x, from %g to %g, not %q", leastReplaySpeed, float64(mostReplaySpeed), text)
	}
	*s = replaySpeed(v)
	return nil
}

func (s replaySpeed) String() string {
	if s == 0 {
		return "max"
	}
	return strconv.FormatFloat(float64(s), 'g', -1, 64) + "x"
}

// The limits of a speed: a day of capture takes 237 years at the one, and 86 µs at the other.
const (
	leastReplaySpeed = 1e-5
	mostReplaySpeed  = 1e9
)
