package main

import (
	"context"
	"errors"
	"os"
	"time"
)

type demoCommand struct {
	For      time.Duration `default:"0s" help:"How long to run; 0s is until interrupted."`
	Engines  int           `default:"8" help:"Simulated engines."`
	Interval time.Duration `default:"200ms" help:"Time between two states of an engine."`
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
	}
	return nil
}

// Run runs the demonstration until its time is up, or a signal.
func (c *demoCommand) Run() error {
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	return demo(ctx, *c)
}
