package gateway

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/state"
)

func heartbeat(engineID string, timestamp int64) string {
	s := state.State{EngineID: engineID, TimestampMs: timestamp, SchedulingMode: "latency_optimized",
		KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.Unknown}
	return string(s.AppendJSON(nil))
}

// figures are those counters that say what became of valid states.
type figures struct {
	Applied, Duplicate, OutOfOrder, ClockReset, Heartbeats, Initialized, Conflicts, EngineLimit uint64
}

func figuresOf(s Statistics) figures {
	return figures{s.Applied, s.Duplicate, s.OutOfOrder, s.ClockReset, s.Heartbeats, s.Initialized, s.Conflicts, s.Rejected[state.EngineLimit]}
}

// dial returns a socket that sends to the gateway, with an address of its own.
func dial(t *testing.T, g *Gateway) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(g.UDPAddress()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends one datagram and waits until it is counted.
func exchange(t *testing.T, g *Gateway, c *net.UDPConn, payload string) Statistics {
	t.Helper()
	before := g.Statistics().Received
	if _, err := c.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
	return await(t, g, "one more received", func(s Statistics) bool {
		var counted uint64
		for _, n := range s.Rejected {
			counted += n
		}
		return s.Received == before+1 && s.Applied+s.Duplicate+s.OutOfOrder+counted == s.Received && s.Log.Queued == 0
	})
}

// Each fate of a valid datagram is counted by its name, and every applied state has its line in the log.
func TestOutcomesAreCounted(t *testing.T) {
	g, err := New(settings(t, func(s *config.Settings) { s.MaxEngines = 2 }), discard)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	sockets := [2]*net.UDPConn{dial(t, g), dial(t, g)}
	var want figures
	for i, step := range []struct {
		what    string
		payload string
		sender  int
		counts  []*uint64
	}{
		{"an init state", heartbeat("a", 10), 0, []*uint64{&want.Applied, &want.Heartbeats, &want.Initialized}},
		{"its copy", heartbeat("a", 10), 0, []*uint64{&want.Duplicate}},
		{"a real state", datagram("a", 20), 0, []*uint64{&want.Applied}},
		{"its copy", datagram("a", 20), 0, []*uint64{&want.Duplicate}},
		{"a heartbeat of its millisecond", heartbeat("a", 20), 0, []*uint64{&want.Duplicate}},
		{"a heartbeat", heartbeat("a", 30), 0, []*uint64{&want.Applied, &want.Heartbeats}},
		{"an engine that begins with a real state", datagram("b", 4), 0, []*uint64{&want.Applied}},
		{"its second state, with which it keeps its place", datagram("b", 5), 0, []*uint64{&want.Applied}},
		{"an engine too many", datagram("c", 5), 0, []*uint64{&want.EngineLimit}},
		{"an older state", datagram("a", 5), 0, []*uint64{&want.OutOfOrder}},
		{"its copy", datagram("a", 5), 0, []*uint64{&want.OutOfOrder}},
		{"a second, newer", datagram("a", 6), 0, []*uint64{&want.OutOfOrder}},
		{"a third", datagram("a", 7), 0, []*uint64{&want.Applied, &want.ClockReset}},
		{"another sender", datagram("b", 6), 1, []*uint64{&want.Applied}},
		{"the first again", datagram("b", 7), 0, []*uint64{&want.Applied}},
		{"the other again", datagram("b", 8), 1, []*uint64{&want.Applied}},
		{"and the first, the fourth change", datagram("b", 9), 0, []*uint64{&want.Applied, &want.Conflicts}},
		{"no second conflict", datagram("b", 10), 1, []*uint64{&want.Applied}},
	} {
		for _, counter := range step.counts {
			*counter++
		}
		s := exchange(t, g, sockets[step.sender], step.payload)
		if got := figuresOf(s); got != want {
			t.Fatalf("step %d, %s:\n got %+v\nwant %+v", i, step.what, got, want)
		}
		checkIdentity(t, s)
		if s.Log.Written != want.Applied {
			t.Errorf("%d lines, %d applied", s.Log.Written, want.Applied)
		}
	}
	if h, ok := g.Table().Get("b"); !ok || !h.Conflict(g.Now()) {
		t.Errorf("no conflict is shown: %+v", h)
	}
}

// With HEARTBEAT_MERGE off no state is a heartbeat, and in broadcast mode no sender is another.
func TestOutcomesThatSettingsTurnOff(t *testing.T) {
	g, err := New(settings(t, func(s *config.Settings) { s.HeartbeatMerge = false; s.NetworkMode = config.Broadcast }), discard)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	sockets := [2]*net.UDPConn{dial(t, g), dial(t, g)}
	var s Statistics
	for i := range 8 {
		s = exchange(t, g, sockets[i%2], heartbeat("a", int64(i)))
	}
	if got, want := figuresOf(s), (figures{Applied: 8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The three copies of broadcast mode, whatever their order, are one state and two duplicates.
func TestThreeCopies(t *testing.T) {
	g, err := New(settings(t, func(s *config.Settings) { s.NetworkMode = config.Broadcast }), discard)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	c := dial(t, g)
	const states = 50
	for i := range int64(states) {
		for range 3 {
			if _, err := c.Write([]byte(datagram("a", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := await(t, g, "all received and logged", func(s Statistics) bool { return s.Received == 3*states && s.Log.Written == states })
	checkIdentity(t, s)
	if got, want := figuresOf(s), (figures{Applied: states, Duplicate: 2 * states}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Any mixture from several senders at once adds up.
func TestMixtureAddsUp(t *testing.T) {
	g, err := New(settings(t, func(s *config.Settings) { s.MaxEngines = 20 }), discard)
	if err != nil {
		t.Fatal(err)
	}
	run(t, g)
	random := rand.New(rand.NewPCG(4, 1))
	sockets := [3]*net.UDPConn{dial(t, g), dial(t, g), dial(t, g)}
	const datagrams = 3000
	for i := range datagrams {
		id := fmt.Sprint("engine ", random.IntN(25))
		timestamp := int64(i/10 + random.IntN(20))
		payload := datagram(id, timestamp)
		switch random.IntN(10) {
		case 0:
			payload = heartbeat(id, timestamp)
		case 1:
			payload = payload[:random.IntN(len(payload))]
		}
		if _, err := sockets[random.IntN(len(sockets))].Write([]byte(payload)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 { // no more than a small receive buffer holds
			await(t, g, "received so far", func(s Statistics) bool { return s.Received == uint64(i+1) })
		}
	}
	s := await(t, g, "all logged", func(s Statistics) bool { return s.Received == datagrams && s.Log.Queued == 0 })
	checkIdentity(t, s)
	got := figuresOf(s)
	if got.Applied == 0 || got.Duplicate == 0 || got.OutOfOrder == 0 || got.ClockReset == 0 || got.Heartbeats == 0 ||
		got.Conflicts == 0 || got.EngineLimit == 0 || s.Rejected[state.JSON] == 0 {
		t.Errorf("not a mixture of everything: %+v", got)
	}
	if got.Heartbeats > got.Applied || got.ClockReset > got.Applied || got.Initialized > got.Heartbeats || got.Initialized > 20 {
		t.Errorf("%+v", got)
	}
}

// A flood of duplicates costs no allocation: in broadcast mode two of three datagrams are.
func TestSpecialDoesNotAllocate(t *testing.T) {
	g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false }), discard)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	p := g.pipelines[0]
	payload := []byte(datagram("a", 1))
	step := func() {
		p.begin(time.Unix(1_755_532_567, 0))
		p.handle(payload, one)
		p.commit()
	}
	step()
	if got := testing.AllocsPerRun(1000, step); got != 0 {
		t.Errorf("%v allocations a duplicate", got)
	}
}
