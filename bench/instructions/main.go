// Command instructions is a driver for counting instructions: it takes N datagrams through one stage of the hot path
// and ends. The test beside it runs it under valgrind with two values of N; the difference is free of everything that
// happens once.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

const (
	engines = 64 // few enough that the datagrams are made once and the set-up is small
	rounds  = 32 // different datagrams of each engine
	batch   = 16 // datagrams a commit
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: instructions decode|apply|append N")
		os.Exit(64)
	}
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(64)
	}
	debug.SetGCPercent(-1) // the stages do not allocate; the collector's own work would only be noise
	if err := run(os.Args[1], n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(stage string, n int) error {
	var payloads [][]byte
	var states []state.State
	for e := range engines {
		agent := traffic.NewAgent(fmt.Sprintf("http://10.0.0.%d:8000", e), uint64(e))
		for r := range rounds {
			s := agent.Next(time.UnixMilli(1_755_532_567_495 + int64(r)*200))
			states = append(states, s)
			payloads = append(payloads, s.AppendJSON(nil))
		}
	}
	switch stage {
	case "decode":
		d, s := decode.New(), state.State{}
		for i := range n {
			if reason := d.Decode(payloads[i%len(payloads)], &s); reason != state.Accepted {
				return fmt.Errorf("refused: %v", reason)
			}
		}
	case "apply":
		table, source := shard.New(shard.Config{MaxEngines: engines, History: 100}), netip.MustParseAddrPort("10.0.0.1:4000")
		for i := range n {
			s := &states[i%len(states)]
			s.TimestampMs += rounds * 200 // newer than the round before
			if got := table.Apply(s, source, state.Instant{Mono: int64(i), Wall: int64(i)}); got != state.Applied {
				return fmt.Errorf("not applied: %v", got)
			}
		}
	case "append":
		// Nobody writes: the counted work is the appender's alone, and its queue must be large enough for n lines.
		j, err := journal.New(journal.Config{Path: os.DevNull, Appenders: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			return err
		}
		a := j.Appender(0)
		for i := range n {
			at := 1_755_532_567_502_843_000 + 1000*int64(i/batch)
			if i%batch == 0 {
				a.Begin(at)
			}
			a.Append(at, &states[i%len(states)], payloads[i%len(payloads)])
			if i%batch == batch-1 {
				a.Commit()
			}
		}
		a.Commit()
		if c := j.Counters(); c.DroppedRing != 0 || c.Queued != uint64(n) {
			return fmt.Errorf("%d lines dropped, %d queued of %d", c.DroppedRing, c.Queued, n)
		}
	default:
		return fmt.Errorf("no stage %q", stage)
	}
	return nil
}
