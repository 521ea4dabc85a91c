package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/client"
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/internal/top"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// demo runs a gateway with simulated engines until ctx ends, and tells about it on standard output: on a terminal with
// the view of state-gateway top, whose end is the demo's, else with a line a second.
func demo(ctx context.Context, opts demoCommand) error {
	dir, err := os.MkdirTemp("", "state-gateway-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	settings, _, err := config.Flags{}.Resolve()
	if err != nil {
		return err
	}
	settings.BindAddress = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	settings.UDPPort = 0
	settings.HTTPAddress = "127.0.0.1:0"
	settings.LogFile = filepath.Join(dir, "engine_states.jsonl")
	var to io.Writer = os.Stderr
	visible := onTerminal()
	if visible { // they would run across the view
		held := &bytes.Buffer{}
		defer func() { os.Stderr.Write(held.Bytes()) }()
		to = held
	}
	messages := newMessageWriter(to)
	defer messages.flush()
	log := slog.New(slog.NewTextHandler(messages, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := newService(settings, log, messages, passedSockets{})
	if err != nil {
		return err
	}
	target := s.gateway.UDPAddress()
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: target, Engines: opts.Engines, Interval: opts.Interval, Workload: traffic.Breaks})
	if err != nil {
		return err
	}
	defer fleet.Close()
	introduce(os.Stdout, opts, s, settings.LogFile)
	watch := func(ctx context.Context) error {
		narrate(ctx, os.Stdout, s.gateway)
		return nil
	}
	if visible {
		watch = func(ctx context.Context) error {
			w, err := client.Watch(ctx, fmt.Sprintf("http://%v", s.httpAddress()), client.IncludeStale())
			if err != nil {
				return err
			}
			return top.Run(ctx, w, terminal())
		}
	}

	// The engines stop before the gateway does, so that the summary accounts for everything that was sent.
	served, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	group, served := errgroup.WithContext(served)
	group.Go(func() error { return s.run(served) })
	group.Go(func() error {
		defer stopServing()
		sending, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(served, cancel) // a gateway that failed
		defer stop()
		watched := make(chan error, 1)
		go func() {
			defer cancel()
			watched <- watch(sending)
		}()
		fleet.Run(sending)
		return <-watched
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return summarize(os.Stdout, fleet, s.gateway.Statistics())
}

// introduce says what runs and what to try.
func introduce(w io.Writer, opts demoCommand, s *service, logFile string) {
	fmt.Fprintf(w, `A state gateway with %d simulated engines that push a state every %v to udp://%v.
Their agents also send heartbeats, and now and then an engine has no work for a few seconds.
Try these while it runs (Ctrl-C ends it):

  http://%[4]v/                          all of it live, in a browser
  curl http://%[4]v/v1/engine-states     what a router reads
  curl http://%[4]v/v1/engines           the same with status, age and source
  curl http://%[4]v/stats                what was received, applied, rejected, logged
  curl http://%[4]v/metrics              the same for Prometheus
  tail -f %[5]s

`, opts.Engines, opts.Interval, s.gateway.UDPAddress(), s.httpAddress(), logFile)
}

// narrate prints a line a second until ctx is done.
func narrate(ctx context.Context, w io.Writer, g *gateway.Gateway) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	start, before, last := time.Now(), uint64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s := g.Statistics()
			fmt.Fprintf(w, "%4.0fs  engines: %s | datagrams/s: %.0f | applied: %d | rejected: %d | log lines: %d\n",
				now.Sub(start).Seconds(), byStatus(s), float64(s.Received-before)/now.Sub(last).Seconds(), s.Applied, rejected(s), s.Log.Written)
			before, last = s.Received, now
		}
	}
}

// byStatus returns how many engines have each status, such as "7 fresh, 1 stale".
func byStatus(s gateway.Statistics) string {
	text := ""
	for status, n := range s.Engines {
		if n > 0 || state.Status(status) == state.Fresh {
			text += fmt.Sprintf(", %d %v", n, state.Status(status))
		}
	}
	return text[len(", "):]
}

func rejected(s gateway.Statistics) (sum uint64) {
	for _, n := range s.Rejected {
		sum += n
	}
	return sum
}

// summarize prints the account. A datagram that is not accounted for is an error.
func summarize(w io.Writer, fleet *traffic.Fleet, s gateway.Statistics) error {
	var dropped uint64
	for _, socket := range s.Sockets {
		dropped += socket.KernelDropped
	}
	fmt.Fprintf(w, "\nsent %d = received %d + dropped by the kernel %d; applied %d, rejected %d; log lines %d, dropped from the log %d; "+
		"duplicate %d, out of order %d; %d of the applied were heartbeats\n",
		fleet.Sent(), s.Received, dropped, s.Applied, rejected(s), s.Log.Written, s.Log.Dropped(), s.Duplicate, s.OutOfOrder, s.Heartbeats)
	if fleet.Sent() != s.Received+dropped || s.Received != s.Applied+s.Duplicate+s.OutOfOrder+rejected(s) ||
		s.Log.Enabled && s.Applied != s.Log.Written+s.Log.Dropped() {
		return fmt.Errorf("the figures do not add up")
	}
	return nil
}
