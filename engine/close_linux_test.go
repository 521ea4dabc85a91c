package engine

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Whatever a sender that does not stop gets rid of before it is refused is received or counted as dropped, on its own socket
// or another's: nothing waits in a socket that is closed.
func TestStopUnderEndlessTraffic(t *testing.T) {
	for round := range 20 {
		e, err := Listen(config(func(c *Config) {
			c.Workers, c.BatchSize, c.Address = 1+round%2, 64, []netip.Addr{loopback4, any4, any6}[round%3]
		}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := dial(t, "127.0.0.1", e.Address().Port())
		var sent atomic.Uint64
		refused := make(chan error, 1)
		go func() {
			payload := make([]byte, 270)
			for {
				if _, err := c.Write(payload); err != nil {
					refused <- err
					return
				}
				if sent.Add(1) == 2000 {
					cancel()
				}
			}
		}()
		if err := e.Run(ctx, func(int) Handler { return &sink{} }); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the sender is never refused")
		}
		counted := e.Counters().Received
		for _, d := range e.KernelDrops() {
			counted += d
		}
		// The refusal answers the last one, and up to two more when another processor brings it late.
		if lost := int64(sent.Load()-1) - int64(counted); lost < 0 || lost > 2 {
			t.Errorf("round %d: %d sent and not refused, %d counted: %d", round, sent.Load()-1, counted, lost)
		}
	}
}
