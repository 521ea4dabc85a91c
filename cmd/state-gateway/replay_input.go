package main

import (
	"context"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/elrar/state-gateway/replay"
)

// input is the captured traffic with the changes that the command line asks for. stream and close are for one goroutine;
// figures may be asked for by any, at any time.
type input struct {
	stream replay.Source // what is to be run

	multiplied *replay.Multiplied // a stage of stream, or nil
	degraded   *replay.Degraded   // the same

	mu     sync.Mutex // guards what follows
	past   inputFigures
	round  *round // the present one, or nil
	breaks []error
}

// round is one reading of the capture.
type round struct {
	capture *replay.Capture
	steady  *replay.Steadied
	window  *replay.Window
}

// inputFigures say what was read and what became of it: of the records, those skipped and leftOut are not passed on, and
// those passed on, + added − lost + doubled, are to be sent.
type inputFigures struct {
	bytes     int64  // read
	size      int64  // to be read in all rounds, 0 if it is not known
	records   uint64 // packets, or lines of a log
	skips     map[string]uint64
	resets    uint64 // of the captured clock
	leftOut   uint64 // by --start and --stop
	added     uint64 // by --engines
	single    uint64 // that it could not multiply
	lost      uint64
	doubled   uint64
	overtaken uint64
}

// open opens the capture, which takes as long as a pipe has nothing to say, or until ctx is done. What --retime takes for now, now returns when the first datagram is there; its differences are
// those of captured time at a speed, 0 being none.
func (c *replayCommand) open(ctx context.Context, now func(first time.Time) time.Time, speed float64) (*input, error) {
	in := &input{past: inputFigures{skips: map[string]uint64{}}}
	var first replay.Source
	err := untilDone(ctx, func() (err error) {
		first, err = in.openRound(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	in.past.size = in.round.capture.Read().Size * int64(c.Loop)
	in.stream = replay.Loop(c.Loop, func() (src replay.Source, err error) {
		if src, first = first, nil; src == nil {
			src, err = in.openRound(c)
		}
		return src, err
	})
	if c.Engines > 1 {
		in.multiplied = replay.Multiply(in.stream, c.Engines)
		in.stream = in.multiplied
	}
	if c.Retime {
		in.stream = replay.Retime(in.stream, now, speed)
	}
	if c.Drop > 0 || c.Duplicate > 0 || c.Reorder > 0 {
		in.degraded = replay.Degrade(in.stream, replay.Damage{
			Seed: c.ShuffleSeed, Drop: c.Drop / 100, Duplicate: c.Duplicate / 100, Reorder: c.Reorder / 100})
		in.stream = in.degraded
	}
	return in, nil
}

// openRound opens the files for one more round.
func (in *input) openRound(c *replayCommand) (replay.Source, error) {
	if err := in.close(); err != nil {
		return nil, err
	}
	capture, err := replay.Open(c.Files, replay.ReadOptions{Port: c.Port, Stdin: os.Stdin})
	if err != nil {
		return nil, err
	}
	steady := replay.Steady(capture)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.round = &round{capture, steady, replay.Between(steady, c.Start, c.Stop)}
	return in.round.window, nil
}

// close ends the present round, if there is one, and closes its files.
func (in *input) close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.round == nil {
		return nil
	}
	in.past.add(in.round)
	capture := in.round.capture
	in.round, in.breaks = nil, capture.Breaks() // which are the same in each round
	return capture.Close()
}

// figures returns the figures of all rounds so far.
func (in *input) figures() inputFigures {
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.past
	f.skips = maps.Clone(f.skips)
	if in.round != nil {
		f.add(in.round)
	}
	if in.multiplied != nil {
		f.added, f.single = in.multiplied.Added(), in.multiplied.Single()
	}
	if in.degraded != nil {
		f.lost, f.doubled, f.overtaken = in.degraded.Counts()
	}
	return f
}

// add adds what was read in a round.
func (f *inputFigures) add(r *round) {
	read := r.capture.Read()
	f.bytes += read.Bytes
	f.records += read.Records
	for reason, n := range r.capture.Skips() {
		f.skips[reason] += n
	}
	f.resets += r.steady.Resets()
	f.leftOut += r.window.LeftOut()
}

// skipped returns the sum over all reasons.
func (f *inputFigures) skipped() (sum uint64) {
	for _, n := range f.skips {
		sum += n
	}
	return sum
}

// toSend returns how many datagrams are to be sent of what was read.
func (f *inputFigures) toSend() uint64 {
	return f.records - f.skipped() - f.leftOut + f.added - f.lost + f.doubled
}
