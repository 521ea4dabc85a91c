package main

import (
	"context"
	"flag"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	"github.com/elrar/state-gateway/engine"
)

const receiveBuffer = 8 << 20 // bytes, of everybody

type discard struct{}

func (discard) HandleBatch(*engine.Batch)                      {}
func (discard) HandleMisfit(time.Time, netip.AddrPort, []byte) {}

// beNullSink is the packet engine's own reader with a handler that does nothing, until a signal.
func beNullSink(args []string) error {
	flags := flag.NewFlagSet("null-sink", flag.ExitOnError)
	port := flags.Int("port", 0, "UDP port of the loopback interface")
	flags.Parse(args)
	e, err := engine.Listen(engine.Config{
		Address: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: uint16(*port),
		Workers: 1, BatchSize: 64, MaxDatagram: 4096, ReceiveBuffer: receiveBuffer,
	})
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return e.Run(ctx, func(int) engine.Handler { return discard{} })
}
