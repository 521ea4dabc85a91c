package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/state"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// settings returns the defaults on a free port of the loopback address, changed by change.
func settings(t *testing.T, change func(*config.Settings)) config.Settings {
	t.Helper()
	s, _, err := config.Flags{}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	s.BindAddress, s.UDPPort, s.Workers = netip.MustParseAddr("127.0.0.1"), 0, 2
	s.LogFile = filepath.Join(t.TempDir(), "engine_states.jsonl")
	if change != nil {
		change(&s)
	}
	return s
}

// run runs a gateway until the returned function is called, which returns Run's error.
func run(t testing.TB, g *Gateway) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			stop()
		}
	})
	return stop
}

func await(t *testing.T, g *Gateway, what string, holds func(Statistics) bool) Statistics {
	t.Helper()
	var s Statistics
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if s = g.Statistics(); holds(s) {
			return s
		}
	}
	t.Fatalf("%s: not within 10 s: %+v", what, s)
	return s
}

// checkIdentity holds statistics, taken while nothing arrives, to the two sums.
func checkIdentity(t *testing.T, s Statistics) {
	t.Helper()
	var rejected uint64
	for _, n := range s.Rejected {
		rejected += n
	}
	if s.Received != s.Applied+s.Duplicate+s.OutOfOrder+rejected || s.Received != s.Unicast+s.Broadcast {
		t.Errorf("received does not add up: %+v", s)
	}
	if s.Log.Enabled && s.Applied != s.Log.Written+s.Log.Dropped()+s.Log.Queued {
		t.Errorf("applied does not add up: %+v", s)
	}
}

func datagram(engineID string, timestamp int64) string {
	s := state.State{EngineID: engineID, TimestampMs: timestamp, LatencyPredMs: 1.5, SchedulingMode: "balanced",
		KVCacheFreeBlocks: 3, KVCacheTotalBlocks: 7, EngineCapacity: 1000}
	return string(s.AppendJSON(nil))
}

func send(t *testing.T, g *Gateway, payloads ...string) {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(g.UDPAddress()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, p := range payloads {
		if _, err := c.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatagramsToTableAndLog(t *testing.T) {
	set := settings(t, nil)
	g, err := New(set, discard)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, g)
	send(t, g, datagram("a", 1), datagram("b", 2), "", "garbage", datagram("a", 3))
	s := await(t, g, "five received and logged", func(s Statistics) bool { return s.Received == 5 && s.Log.Queued == 0 })
	checkIdentity(t, s)
	if s.Applied != 3 || s.Rejected[state.Empty] != 1 || s.Rejected[state.JSON] != 1 || s.Engines[state.Fresh] != 2 {
		t.Errorf("statistics %+v", s)
	}
	held, ok := g.Table().Get("a")
	if !ok || held.TimestampMs != 3 || held.Source.Addr() != set.BindAddress {
		t.Errorf("held: %+v, %v", held, ok)
	}
	if records, _ := g.Table().History("a", 10); len(records) != 2 || records[0].TimestampMs != 1 || records[1].TimestampMs != 3 {
		t.Errorf("history: %+v", records)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(set.LogFile)
	if err != nil || bytes.Count(text, []byte("\n")) != 3 {
		t.Errorf("log: %v\n%s", err, text)
	}
	if g.Ready() == nil || g.Live() == nil {
		t.Error("a stopped gateway counts as ready or alive")
	}
}

// What the kernel had queued when the stop came is applied and logged all the same.
func TestStopLosesNothing(t *testing.T) {
	set := settings(t, nil)
	g, err := New(set, discard)
	if err != nil {
		t.Fatal(err)
	}
	var payloads []string
	for i := range 500 {
		payloads = append(payloads, datagram(fmt.Sprint("engine", i%50), int64(i)))
	}
	send(t, g, payloads...) // nobody reads yet
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Fatal(err)
	}
	s := g.Statistics()
	checkIdentity(t, s)
	if s.Applied != 500 || s.Log.Written != 500 {
		t.Errorf("statistics %+v", s)
	}
}

func TestSilentEnginesAreRemovedByTimer(t *testing.T) {
	g, err := New(settings(t, func(s *config.Settings) { s.RemoveAfter = 200 * time.Millisecond; s.EnableLog = false }), discard)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	send(t, g, datagram("a", 1), datagram("b", 1))
	await(t, g, "two applied", func(s Statistics) bool { return s.Applied == 2 })
	s := await(t, g, "two removed", func(s Statistics) bool { return s.Removed == 2 })
	if s.Engines != [state.Statuses]int{} || s.Received != 2 {
		t.Errorf("statistics %+v", s)
	}
	if _, ok := g.Table().History("a", 1); ok {
		t.Error("the history of a removed engine is there")
	}
}

func TestSmallReceiveBufferIsSaid(t *testing.T) {
	var messages bytes.Buffer
	g, err := New(settings(t, func(s *config.Settings) { s.ReceiveBuffer = 1 << 40 }), slog.New(slog.NewTextHandler(&messages, nil)))
	if err != nil {
		t.Skip("the system refuses an absurd buffer rather than clamp it:", err)
	}
	if err := func() error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return g.Run(ctx)
	}(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(messages.String(), "net.core.rmem_max") {
		t.Errorf("messages: %s", messages.String())
	}
}

// A flood of garbage makes one message per reason and 10 s, with a sample of what came.
func TestRejectionsAreNoticedOnce(t *testing.T) {
	var messages bytes.Buffer
	n := newNotices(slog.New(slog.NewTextHandler(&messages, nil)))
	source := netip.MustParseAddrPort("192.0.2.7:1234")
	begin := time.Unix(1_755_532_567, 0)
	for i := range 25_000 { // 25 s, one a millisecond
		n.rejected(begin.Add(time.Duration(i)*time.Millisecond).UnixNano(), source, state.JSON, []byte("<script>\x1b[2J"))
		n.rejected(begin.Add(time.Duration(i)*time.Millisecond).UnixNano(), source, state.Range, make([]byte, 5000))
	}
	close(n.ch)
	got := map[state.Reason]int{}
	for r := range n.ch {
		got[r.reason]++
		n.say(r)
	}
	if got[state.JSON] != 3 || got[state.Range] != 3 {
		t.Errorf("noticed %v, want 3 of each", got)
	}
	if text := messages.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, "192.0.2.7:1234") || !strings.Contains(text, "<script>") {
		t.Errorf("messages: %q", text)
	}
}

// The whole path of a datagram, log included, without an allocation.
func TestPipelineDoesNotAllocate(t *testing.T) {
	g, err := New(settings(t, nil), discard)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	agent := traffic.NewAgent("http://172.17.0.3:8000", 1)
	p := g.pipelines[0] // nothing is sent: the reader does not use it
	source := netip.MustParseAddrPort("192.0.2.7:1234")
	var payload []byte
	now := time.Unix(1_755_532_567, 0)
	step := func() {
		now = now.Add(time.Millisecond)
		s := agent.Next(now)
		payload = s.AppendJSON(payload[:0])
		p.begin(now)
		p.handle(payload, source)
		p.commit()
	}
	for range 5000 { // segments of the log in circulation, the parser's values
		step()
	}
	if got := testing.AllocsPerRun(1000, step); got != 0 {
		t.Errorf("%v allocations a datagram", got)
	}
}

// An end that is not waited for says what is lost with the process, and what only a power failure would take.
func TestUnfinishedLog(t *testing.T) {
	for _, c := range []struct {
		counters journal.Counters
		want     []string
		never    string
	}{
		{journal.Counters{Written: 900, Unsynced: 40, Queued: 7}, []string{"7 lines are lost", "another 40 are written, but not synced"}, "all lines"},
		{journal.Counters{Written: 900, Unsynced: 40}, []string{"all lines are written", "a power failure now may take the last 40"}, "lost"},
		{journal.Counters{Written: 900}, []string{"all lines are written and synced"}, "lost"},
	} {
		text := unfinished(c.counters).Error()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: %q lacks %q", c.counters, text, want)
			}
		}
		if strings.Contains(text, c.never) {
			t.Errorf("%+v: %q", c.counters, text)
		}
	}
}
