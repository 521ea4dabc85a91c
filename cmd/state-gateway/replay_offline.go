package main

import (
	"context"
	"errors"
)

// runOffline runs the stream through the gateway's own pipeline, without sockets, on the capture's clock, with the
// settings of c.Flags; with c.StatesAt it prints what a router would have seen then.
func (c *replayCommand) runOffline(ctx context.Context, in *input) error {
	return errors.New("--offline: not built yet")
}
