package replay

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// What comes of the incident through real sockets, as fast as they take it, is what comes of it offline, but for what
// times decide: a threshold of a day and no removal leave the ages out of it.
func TestOfflineIsAsLive(t *testing.T) {
	c := incident()
	for i := range c {
		c[i].Source = netip.MustParseAddrPort("127.0.0.1:40000") // one sender: the order is kept
	}
	set, _, err := config.Flags{}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	set.BindAddress, set.UDPPort, set.Workers = netip.MustParseAddr("127.0.0.1"), 0, 1
	set.LogFile = filepath.Join(t.TempDir(), "engine_states.jsonl")
	set.MaxDatagram, set.MaxEngines, set.StaleThreshold, set.RemoveAfter = 1024, 20, 24*time.Hour, 24*time.Hour
	live, err := gateway.New(set, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- live.Run(ctx) }()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(live.UDPAddress()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, d := range c {
		if _, err := conn.Write(d.Payload); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); i%50 == 49 && live.Statistics().Received <= uint64(i); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) { // a small receive buffer holds 50
				t.Fatalf("%d received of %d: %+v", live.Statistics().Received, i+1, live.Statistics())
			}
		}
	}
	cancel() // what is queued is drained
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	s := DefaultOfflineSettings()
	s.MaxDatagram, s.MaxEngines, s.StaleThreshold, s.RemoveAfter = set.MaxDatagram, set.MaxEngines, set.StaleThreshold, set.RemoveAfter
	var log bytes.Buffer
	s.Log = &log
	o := NewOffline(c.source(), s)
	if err := o.Run(); err != nil {
		t.Fatal(err)
	}

	timeless := func(s Statistics) Statistics {
		s.Conflicts, s.LastReceived, s.Sockets, s.Log = 0, 0, nil, gateway.Log{Written: s.Log.Written}
		return s
	}
	if a, b := timeless(live.Statistics()), timeless(o.Statistics()); !reflect.DeepEqual(a, b) {
		t.Errorf("live    %+v\noffline %+v", a, b)
	}
	if n := len(o.Engines()); n != live.Table().Engines() || n != 12 {
		t.Errorf("%d engines, live %d", n, live.Table().Engines())
	}
	for _, e := range o.Engines() {
		h, _ := live.Table().Get(e.EngineID)
		if h.State != e.State || h.NewestTimestampMs != e.NewestTimestampMs || h.Idle != e.Idle || h.LoadTimestampMs != e.LoadTimestampMs ||
			(h.HeartbeatWall != 0) != (e.HeartbeatWall != 0) {
			t.Errorf("live    %+v\noffline %+v", h, e.Held)
		}
		liveRecords, _ := live.Table().History(e.EngineID, 1000)
		records, _ := o.History(e.EngineID, 1000)
		if !reflect.DeepEqual(statesOf(liveRecords), statesOf(records)) {
			t.Errorf("%s: another history", e.EngineID)
		}
	}
	liveLog, err := os.ReadFile(set.LogFile)
	if err != nil || !bytes.Equal(statesIn(liveLog), statesIn(log.Bytes())) {
		t.Errorf("another log (%v)", err)
	}
}

func statesOf(records []state.Record) (states []state.State) {
	for _, r := range records {
		states = append(states, r.State)
	}
	return states
}

// statesIn returns the lines of a state log without their timestamps.
func statesIn(log []byte) (states []byte) {
	for line := range bytes.Lines(log) {
		_, rest, _ := bytes.Cut(line, []byte(`"state": `))
		states = append(states, rest...)
	}
	return states
}
