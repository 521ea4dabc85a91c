package main

import (
	"context"
	"errors"
)

// runSummary prints what the stream holds.
func (c *replayCommand) runSummary(ctx context.Context, in *input) error {
	return errors.New("--summary: not built yet")
}
