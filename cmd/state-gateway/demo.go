package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

type demoCommand struct {
	For      time.Duration `default:"0s" help:"How long to run; 0s is until interrupted."`
	Engines  int           `default:"8" help:"Simulated engines."`
	Interval time.Duration `default:"200ms" help:"Time between two states of an engine."`
	Target   string        `placeholder:"HOST:PORT" help:"Send to a gateway that there is already, and run none."`
}

// Validate refuses what kong, which calls it, lets through: numbers without sense.
func (c *demoCommand) Validate() error {
	switch {
	case c.For < 0:
		return errors.New("--for must not be negative")
	case c.Engines < 1:
		return errors.New("--engines must be at least 1")
	case c.Interval <= 0:
		return errors.New("--interval must be more than 0")
	case c.Target != "":
		if err := checkTarget(c.Target); err != nil {
			return fmt.Errorf("--target %w", err)
		}
	}
	return nil
}

// Run runs the demonstration until its time is up, or a signal.
func (c *demoCommand) Run() error {
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.For, fmt.Errorf("%v are over", c.For))
		defer cancel()
	}
	if c.Target != "" {
		return demoEngines(ctx, *c)
	}
	return demo(ctx, *c)
}
