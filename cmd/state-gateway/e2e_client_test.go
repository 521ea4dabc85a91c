package main

import (
	"context"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elrar/state-gateway/client"
	"github.com/elrar/state-gateway/internal/traffic"
)

// await waits until a condition holds of what a client sees, without polling.
func await(t *testing.T, w *client.Watcher, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		changed := w.Changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: not within 30 s: %+v, %d engines", what, w.Gateways(), len(w.States()))
		}
	}
}

// TestGoClient, row 28 for routers in Go: a gateway killed and started again under its client, which has what the gateway
// has, nothing when it is gone, and everything when it is back.
func TestGoClient(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	const engines = 20
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: p.udp, Engines: engines, Interval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	running, stop := context.WithCancel(t.Context())
	defer stop()
	var senders sync.WaitGroup
	defer senders.Wait()
	defer stop()
	senders.Go(func() { fleet.Run(running) })
	w, err := client.Watch(running, p.url)
	if err != nil {
		t.Fatal(err)
	}
	await(t, w, "all engines", func() bool { return len(w.States()) == engines })

	p.stop(t, os.Kill)
	await(t, w, "the loss is noticed", func() bool { return !w.Gateways()[0].Connected })
	await(t, w, "what it told is stale", func() bool { return len(w.States()) == 0 && len(w.Engines()) == 0 })

	p = startGateway(t, "UDP_PORT="+p.udp.String()[strings.LastIndex(p.udp.String(), ":")+1:], "HTTP_ADDRESS="+strings.TrimPrefix(p.url, "http://"))
	await(t, w, "it is back", func() bool { return w.Gateways()[0].Connected && len(w.States()) == engines })

	// While nothing arrives, what the client has is what the gateway has, value for value.
	stop()
	senders.Wait()
	quiet, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err = client.Watch(quiet, p.url, client.IncludeStale())
	if err != nil {
		t.Fatal(err)
	}
	await(t, w, "all engines, stale or not", func() bool { return len(w.States()) == engines })
	var want map[string]client.State
	p.get(t, "/v1/engine-states", &want)
	if got := w.States(); !maps.Equal(got, want) {
		t.Errorf("the client has %v, the gateway %v", got, want)
	}
}

// TestGoClientStalled, row 29: a path that takes the stream's bytes and passes none on is noticed by the missing bookmark,
// although the connection stands.
func TestGoClientStalled(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var relays sync.WaitGroup
	defer relays.Wait()
	stall := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	relays.Go(func() {
		for {
			down, err := listener.Accept()
			if err != nil {
				return
			}
			relays.Go(func() {
				defer down.Close()
				up, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
				if err != nil {
					return
				}
				defer up.Close()
				defer context.AfterFunc(ctx, func() { up.Close(); down.Close() })()
				go io.Copy(up, down)
				buffer := make([]byte, 64<<10)
				for {
					n, err := up.Read(buffer)
					if err != nil {
						return
					}
					select {
					case <-stall:
						continue
					default:
					}
					if _, err := down.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	w, err := client.Watch(ctx, "http://"+listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	await(t, w, "the stream stands", func() bool { return w.Gateways()[0].Connected })
	close(stall)
	await(t, w, "the stall is noticed", func() bool { return !w.Gateways()[0].Connected })
	if problem := w.Gateways()[0].Problem; problem == nil || !strings.HasPrefix(problem.Error(), "no event for") {
		t.Errorf("%v", problem)
	}
	listener.Close()
	cancel()
	w.Wait()
}
