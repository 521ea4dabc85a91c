package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that SIGINT or SIGTERM cancels, with the signal as its cause. A second one calls exit at
// once. stop ends the watch; until then the two signals do nothing else.
func untilSignal(parent context.Context, exit func(code int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2) // room for both: the runtime does not wait for a reader
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case s := <-signals:
				if ctx.Err() != nil {
					exit(exitFailed)
				}
				cancel(fmt.Errorf("received %v", s))
			case <-stopped:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		cancel(nil)
	}
}
