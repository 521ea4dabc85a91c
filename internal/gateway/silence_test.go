package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/state"
)

// feed takes one datagram through the first pipeline now, as if it had just arrived.
func feed(g *Gateway, payload string) {
	p := g.pipelines[0]
	p.begin(time.Now())
	p.handle([]byte(payload), one)
	p.commit()
}

// A fleet that falls silent is stale after its threshold, kept and marked until REMOVE_AFTER, and then gone within a
// second, with its history and without any arrival. The sockets are there and nobody reads them: all is fed by hand, on
// synthetic time.
func TestSilentFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fleet = 100
		g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false; s.RemoveAfter = 10 * time.Second }), discard)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		ctx, cancel := context.WithCancel(t.Context())
		swept := make(chan struct{})
		go func() { g.sweep(ctx); close(swept) }()
		defer func() { cancel(); <-swept }()

		want := func(when string, fresh, idle, stale int, removed uint64) {
			t.Helper()
			synctest.Wait()
			engines := [state.Statuses]int{state.Fresh: fresh, state.Idle: idle, state.Stale: stale}
			if s := g.Statistics(); s.Engines != engines || s.Removed != removed {
				t.Errorf("%s: %v, %d removed; want %v, %d", when, s.Engines, s.Removed, engines, removed)
			}
		}
		time.Sleep(300 * time.Millisecond) // out of step with the sweep
		silent := time.Now()
		for i := range fleet {
			id, now := fmt.Sprint(i), silent.UnixMilli()
			feed(g, datagram(id, now-10_000)) // its clock is wrong, which is of no account
			if i%2 == 0 {
				feed(g, heartbeat(id, now)) // stale after 2.5 s
			}
		}
		at := func(d time.Duration) { time.Sleep(time.Until(silent.Add(d))) }
		want("at once", fleet, 0, 0, 0)
		at(2 * time.Second)
		want("at the threshold", fleet, 0, 0, 0)
		at(2*time.Second + 1)
		want("above the threshold", fleet/2, 0, fleet/2, 0)
		at(2500*time.Millisecond + 1)
		want("above that of heartbeats", 0, 0, fleet, 0)
		feed(g, heartbeat("0", time.Now().UnixMilli()))
		want("one beats again", 0, 1, fleet-1, 0)
		at(10 * time.Second)
		want("at REMOVE_AFTER", 0, 0, fleet, 0)
		if records, _ := g.Table().History("7", 10); len(records) != 1 {
			t.Errorf("history of a stale engine: %v", records)
		}
		at(11 * time.Second)
		want("a second later", 0, 0, 1, fleet-1)
		if _, ok := g.Table().History("7", 10); ok {
			t.Error("a removed engine has a history")
		}
		at(13500 * time.Millisecond)
		want("all", 0, 0, 0, fleet)

		feed(g, datagram("7", 1)) // far older than what was held
		want("one comes back", 1, 0, 0, fleet)
		if records, _ := g.Table().History("7", 10); len(records) != 1 {
			t.Errorf("history of an engine that came back: %v", records)
		}
	})
}

// Agents that only beat every 2 s never look stale.
func TestBeatingFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false }), discard)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for range 60 {
			feed(g, heartbeat("a", time.Now().UnixMilli()))
			for range 20 {
				time.Sleep(100 * time.Millisecond)
				if s := g.Statistics(); s.Engines[state.Initializing] != 1 {
					t.Fatalf("statuses %v", s.Engines)
				}
			}
		}
	})
}

// Not before every living agent had the time to be heard, idle ones included.
func TestReadyInTime(t *testing.T) {
	for threshold, settled := range map[time.Duration]time.Duration{
		time.Second:     2500 * time.Millisecond,
		4 * time.Second: 4 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false; s.StaleThreshold = threshold }), discard)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			time.Sleep(settled - 1)
			if g.Ready() == nil {
				t.Errorf("threshold %v: ready %v after the start", threshold, settled-1)
			}
			time.Sleep(time.Nanosecond)
			if err := g.Ready(); err != nil {
				t.Errorf("threshold %v, %v after the start: %v", threshold, settled, err)
			}
		})
	}
}

// Engines that leave the table are told of at most once in ten seconds, and all of them.
func TestDeparturesAreToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&out, nil))
		g, err := New(settings(t, func(s *config.Settings) {
			s.EnableLog, s.RemoveAfter, s.MaxEngines = false, 3*time.Second, 50
		}), log)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		ctx, cancel := context.WithCancel(t.Context())
		swept := make(chan struct{})
		go func() { g.sweep(ctx); close(swept) }()
		for i := range 400 { // 10 new ids a second for 40 s; at first there is room, and the silent go
			if i > 200 {
				for k := range 5 {
					feed(g, datagram(fmt.Sprint("beyond ", i, k), 1))
				}
			}
			feed(g, datagram(fmt.Sprint(i), 1))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		cancel()
		<-swept
		said := map[string]uint64{}
		moments := map[string]bool{}
		for line := range bytes.Lines(out.Bytes()) {
			var m struct {
				Msg     string
				Time    string
				Engines uint64
			}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			said[strings.Fields(m.Msg)[0]] += m.Engines
			moments[m.Time] = true
		}
		if said["silent"] != g.table.Removed() || said["the"] != g.table.Replaced() || said["silent"] == 0 || said["the"] == 0 {
			t.Errorf("said %v; %d removed, %d replaced", said, g.table.Removed(), g.table.Replaced())
		}
		if len(moments) > 7 {
			t.Errorf("messages at %d moments of a minute", len(moments))
		}
	})
}
