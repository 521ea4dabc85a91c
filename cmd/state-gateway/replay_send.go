package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/replay"
)

const (
	// replaySockets is how many sockets share the engines. Each is a flow, which the gateway's kernel gives to one of its
	// readers: with 64 none of the usual four goes without, but in one case of 25 million.
	replaySockets = 64
	// replayEnd is how long a read that does not return, of a pipe that nobody writes to, may keep up the end.
	replayEnd = time.Second
)

// sending is a capture on its way to a gateway.
type sending struct {
	opts   *replayCommand
	target netip.AddrPort
	in     *input
	flows  *traffic.Flows
	pacer  *replay.Pacer
	begin  time.Time
	took   time.Duration
	cut    bool // ended before the capture did
}

// send sends the capture until its end or that of ctx, reports on standard output, and with --gateway fails unless each
// datagram is accounted for.
func (c *replayCommand) send(ctx context.Context) error {
	target, err := resolveTarget(ctx, c.Target)
	if err != nil {
		return err
	}
	in, err := c.open(ctx, func(time.Time) time.Time { return time.Now() }, float64(c.Speed))
	if err != nil {
		return err
	}
	s := &sending{opts: c, target: target, in: in}
	if s.flows, err = traffic.NewFlows(target, replaySockets); err != nil {
		return errors.Join(err, in.close())
	}
	defer s.flows.Close()
	var books *ledger
	if c.Gateway != nil {
		if books, err = openLedger(ctx, statsReader(&c.Gateway.URL)); err != nil {
			return errors.Join(err, in.close())
		}
	}
	if err := s.run(ctx); err != nil {
		return errors.Join(err, s.report(os.Stdout))
	}
	if err := s.report(os.Stdout); err != nil {
		return err
	}
	if books != nil {
		// A first signal ends the replay, not its account; a second one ends everything.
		r, err := books.settle(context.WithoutCancel(ctx), s.flows.Sent(), anyInvalid)
		if err != nil {
			return err
		}
		if err := errors.Join(r.write(os.Stdout), r.Err()); err != nil {
			return err
		}
	}
	return s.trouble()
}

// run sends. An error says why it could not go on.
func (s *sending) run(ctx context.Context) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.begin = time.Now()
	s.pacer = replay.NewPacer(reading, s.in.stream, replay.Pace{Speed: float64(s.opts.Speed), Rate: float64(s.opts.Rate)})
	stopProgress := s.showProgress(os.Stderr)
	err := s.pump(ctx)
	s.took = time.Since(s.begin)
	stopProgress()
	s.cut = err != nil
	if ctx.Err() != nil {
		err = nil // a signal ends it well
	}

	stop(err)
	select {
	case <-s.pacer.Ended():
		err = errors.Join(err, s.in.finish())
	case <-time.After(replayEnd): // the process ends soon, with the read
	}
	return err
}

// pump sends what is due until the capture's end, which is no error.
func (s *sending) pump(ctx context.Context) error {
	var streams replay.Streams
	for {
		due, err := s.pacer.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for _, d := range due {
			s.flows.Add(streams.Of(d), d.Payload)
		}
		if err := s.flows.Flush(ctx); err != nil {
			return err
		}
	}
}

// trouble returns an error if not everything could be sent as it should.
func (s *sending) trouble() error {
	f := s.in.figures()
	switch refused, tooLong := s.flows.Failed()-s.flows.TooLong(), s.flows.TooLong(); {
	case refused > 0:
		return fmt.Errorf("%d sends were refused: for some time nobody listened at %v", refused, s.target)
	case tooLong > 0:
		return fmt.Errorf("%d datagrams are too long to be sent to %v", tooLong, s.target)
	case !s.cut && f.toSend() == 0:
		return errors.New(nothing(f, s.opts.Port))
	}
	return nil
}

// nothing says why nothing of a capture is left to be run.
func nothing(f inputFigures, port uint16) string {
	if datagrams := f.records - f.skipped(); datagrams > 0 {
		return fmt.Sprintf("none of its %d datagrams is left: left_out %d, lost %d", datagrams, f.leftOut, f.lost)
	}
	text := "there is no datagram in it" + reasons(f.skips)
	if n := f.skips["other_port"]; n > 0 {
		text += fmt.Sprintf("; %d datagrams go to other ports than %d, --port=0 takes all", n, port)
	}
	return text
}
