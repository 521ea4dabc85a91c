package gateway

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/mmsg"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// While somebody invents 50,000 engine ids a second, a fleet of 1,000 engines starts: each is held within five seconds, and
// is never lost afterwards. shard.TestFloodOfInventedIDs is the same without sockets and clocks.
func TestFloodOfInventedIDs(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	const engines, rate, batch = 1_000, 50_000, 50
	g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false }), discard)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(g.UDPAddress()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sender, err := mmsg.NewSender(conn, batch)
	if err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		payloads := make([][]byte, batch)
		begin := time.Now()
		for n := 0; ctx.Err() == nil; {
			for n >= int(time.Since(begin).Seconds()*rate) && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			for i := range payloads {
				payloads[i] = []byte(datagram(fmt.Sprint("invented ", n), 1))
				n++
			}
			if _, err := sender.Send(payloads); err != nil {
				t.Error(err)
				return
			}
		}
	})
	await(t, g, "a full table", func(s Statistics) bool { return s.Rejected[state.EngineLimit] > 0 })
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: g.UDPAddress(), Engines: engines, Interval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	sending.Go(func() { fleet.Run(ctx) })
	began, last := time.Now(), time.Duration(0)
	settled := map[string]bool{} // two states are held of it
	for time.Since(began) < 15*time.Second {
		for i := range engines {
			id := traffic.FleetEngineID(i)
			records, held := g.Table().History(id, 2)
			switch {
			case held && len(records) == 2 && !settled[id]:
				settled[id] = true
				last = time.Since(began)
			case !held && settled[id] && dropped(g) == 0:
				t.Fatalf("%s is lost after %v", id, time.Since(began))
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	sending.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s := g.Statistics()
	t.Logf("all %d within %v; %d replaced, %d refused, %d dropped by the kernel", len(settled), last, s.Replaced, s.Rejected[state.EngineLimit], dropped(g))
	checkIdentity(t, s)
	if len(settled) != engines || last > 5*time.Second && dropped(g) == 0 { // else a busy machine may have lost any of them
		t.Errorf("%d engines of %d are held, the last since %v", len(settled), engines, last)
	}
}

func dropped(g *Gateway) (n uint64) {
	for _, d := range g.engine.KernelDrops() {
		n += d
	}
	return n
}
