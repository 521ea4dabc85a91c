package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

type loadCommand struct {
	Target  string        `default:"127.0.0.1:9999" placeholder:"HOST:PORT" help:"Where to send (${default})."`
	Engines int           `default:"1000" help:"Engines that the states are of, one after the other."`
	Rate    loadRate      `default:"5000" help:"Datagrams per second of all senders together, or max."`
	For     time.Duration `default:"10s" help:"How long to send; 0s is until interrupted."`
	Senders int           `default:"1" help:"Sockets, each with a thread of its own."`
	GSO     bool          `help:"Let the kernel cut the datagrams out of larger ones (UDP segmentation offload, Linux)."`
	Shape   traffic.Shape `default:"usual" enum:"usual,compact,shuffled,mixed" help:"How the JSON is written: usual, compact, shuffled or mixed."`
	Invalid *float64      `placeholder:"PERCENT" help:"How much of a mixed load is invalid (10)."`
	Gateway *gatewayURL   `placeholder:"URL" help:"HTTP address of the gateway, to reconcile what was sent with what it counted."`
}

const (
	mostLoadEngines = 1_000_000     // of about 400 bytes each here, and a multiple of that in a gateway
	mostLoadSenders = 1024          // a file descriptor each
	mostLoadRate    = 1_000_000_000 // of no meaning, but it keeps rate × time within an int64
	usualInvalid    = 10.0          // percent
)

// Validate refuses what kong, which calls it, lets through.
func (c *loadCommand) Validate() error {
	if err := checkTarget(c.Target); err != nil {
		return fmt.Errorf("--target %w", err)
	}
	switch {
	case c.Engines < 1 || c.Engines > mostLoadEngines:
		return fmt.Errorf("--engines must be from 1 to %d", mostLoadEngines)
	case c.For < 0:
		return errors.New("--for must not be negative")
	case c.Senders < 1 || c.Senders > mostLoadSenders:
		return fmt.Errorf("--senders must be from 1 to %d", mostLoadSenders)
	case c.Senders > c.Engines:
		return errors.New("--senders must not be more than --engines: each sends the states of its own")
	case c.Invalid != nil && c.Shape != traffic.Mixed:
		return errors.New("--invalid is for --shape=mixed only")
	case c.Invalid != nil && !(*c.Invalid >= 0 && *c.Invalid <= 100):
		return errors.New("--invalid must be from 0 to 100 (percent)")
	}
	return nil
}

// checkTarget returns an error, that is to follow the word "target", unless target is a host and a port to send to.
func checkTarget(target string) error {
	host, port, err := net.SplitHostPort(target)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return fmt.Errorf("must be host:port ([…] around an IPv6 address), the port from 1 to 65535, not %q", target)
	}
	return nil
}

// invalid returns the share of invalid datagrams, 0 … 1.
func (c *loadCommand) invalid() float64 {
	switch {
	case c.Shape != traffic.Mixed:
		return 0
	case c.Invalid == nil:
		return usualInvalid / 100
	}
	return *c.Invalid / 100
}

// Run sends until the time is up, or a signal.
func (c *loadCommand) Run() error {
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	return load(ctx, *c)
}

// loadRate is in datagrams/s; 0 is "max".
type loadRate float64

// UnmarshalText takes a positive number or "max".
func (r *loadRate) UnmarshalText(text []byte) error {
	if string(text) == "max" {
		*r = 0
		return nil
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v > 0 && v <= mostLoadRate) {
		return fmt.Errorf("must be max or more than 0 and at most %d, not %q", mostLoadRate, text)
	}
	*r = loadRate(v)
	return nil
}

func (r loadRate) String() string {
	if r == 0 {
		return "max"
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 64) + "/s"
}
