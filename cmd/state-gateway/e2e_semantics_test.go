package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
)

// wireState is what the tests look at of a state on the wire and in answers.
type wireState struct {
	EngineID           string  `json:"engine_id"`
	TimestampMs        int64   `json:"timestamp_ms"`
	LatencyPredMs      float64 `json:"latency_pred_ms"`
	SchedulingMode     string  `json:"scheduling_mode"`
	PendingTokensTotal int64   `json:"pending_tokens_total"`
	KVCacheFreeBlocks  int64   `json:"kv_cache_free_blocks"`
	KVCacheTotalBlocks int64   `json:"kv_cache_total_blocks"`
	EngineCapacity     float64 `json:"engine_capacity"`
}

func (s wireState) heartbeat() bool {
	return s == wireState{EngineID: s.EngineID, TimestampMs: s.TimestampMs, SchedulingMode: "latency_optimized",
		KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1}
}

// delivery is what was delivered of one engine, and what must have become of it by the rules of order.
type delivery struct {
	newest, real                   wireState // the newest state, and the newest real one
	applied, duplicate, outOfOrder uint64
}

// deliver notes the next datagram of the engine.
func (d *delivery) deliver(s wireState) {
	switch {
	case s.TimestampMs > d.newest.TimestampMs, s.TimestampMs == d.newest.TimestampMs && s != d.newest && !s.heartbeat():
		d.applied++
		d.newest = s
		if !s.heartbeat() {
			d.real = s
		}
	case s.TimestampMs == d.newest.TimestampMs:
		d.duplicate++
	default:
		d.outOfOrder++
	}
}

// Over a network that drops 30 %, duplicates, delays and displaces, what is served of an engine never goes back, is in
// the end the newest that was delivered, and each datagram is counted for what it was.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			testBadNetwork(t, seed)
		})
	}
}

func testBadNetwork(t *testing.T, seed uint64) {
	const engines = 20
	p := startGateway(t)
	delivered := map[string]*delivery{} // the relay's until it has ended
	relay, err := traffic.NewRelay(traffic.RelayConfig{
		Target: p.udp, Seed: seed, Drop: 0.3, Duplicate: 0.2, Displace: 0.4, Delay: 30 * time.Millisecond,
		Delivered: func(_ int, payload []byte) {
			var s wireState
			if err := json.Unmarshal(payload, &s); err != nil {
				t.Error(err)
			}
			if delivered[s.EngineID] == nil {
				delivered[s.EngineID] = &delivery{}
			}
			delivered[s.EngineID].deliver(s)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: relay.Address(), Engines: engines, Interval: 20 * time.Millisecond, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()

	relaying, stopRelay := context.WithCancel(t.Context())
	defer stopRelay()
	sending, stopSending := context.WithTimeout(t.Context(), soak(20*time.Second, 5*time.Second))
	defer stopSending()
	var network errgroup.Group
	network.Go(func() error { return relay.Run(relaying) })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		fleet.Run(sending)
	}()

	served := map[string]wireState{}
	look := func() {
		var states map[string]wireState
		p.get(t, "/v1/engine-states", &states)
		for id, s := range states {
			if before := served[id]; s.TimestampMs < before.TimestampMs {
				t.Errorf("%s went back from %d to %d", id, before.TimestampMs, s.TimestampMs)
			}
			served[id] = s
		}
	}
	looks := 0
	for running := true; running; looks++ {
		select {
		case <-sent:
			running = false
		case <-time.After(2 * time.Millisecond): // the pace of looking
		}
		look()
	}
	stopRelay()
	if err := network.Wait(); err != nil {
		t.Fatal(err)
	}
	s := p.awaitAccounted(t, relay.Delivered())
	look()

	var want stats
	for id, d := range delivered {
		want.Applied += d.applied
		want.Duplicate += d.duplicate
		want.OutOfOrder += d.outOfOrder
		if served[id] != d.real {
			t.Errorf("%s:\nserved %+v\nnewest %+v", id, served[id], d.real)
		}
		var history struct{ States []wireState }
		p.get(t, "/v1/history?limit=1&engine_id="+id, &history)
		if len(history.States) != 1 || history.States[0] != d.newest {
			t.Errorf("%s:\nnewest applied   %+v\nnewest delivered %+v", id, history.States, d.newest)
		}
	}
	if len(delivered) != engines || len(served) != engines {
		t.Errorf("%d engines delivered, %d served", len(delivered), len(served))
	}
	if s.Applied != want.Applied || s.Duplicate != want.Duplicate || s.OutOfOrder != want.OutOfOrder || s.KernelDropped != 0 {
		t.Errorf("applied, duplicate, out of order: %d, %d, %d; delivered were %d, %d, %d; dropped by the kernel %d",
			s.Applied, s.Duplicate, s.OutOfOrder, want.Applied, want.Duplicate, want.OutOfOrder, s.KernelDropped)
	}
	if s.Duplicate == 0 || s.OutOfOrder == 0 {
		t.Errorf("the network was too good: %+v", s)
	}
	t.Logf("sent %d, delivered %d: applied %d, duplicate %d, out of order %d; looked %d times",
		fleet.Sent(), relay.Delivered(), s.Applied, s.Duplicate, s.OutOfOrder, looks)
}

// The demonstration's engines are mostly at work, and its account is exact.
func TestDemo(t *testing.T) {
	t.Parallel()
	got := runBinary(t, nil, "demo", "--for=3s")
	if got.code != 0 || !strings.Contains(got.stdout, "engines: 8 fresh |") {
		t.Errorf("%+v", got)
	}
	account := regexp.MustCompile(`sent (\d+) = received (\d+) \+ dropped by the kernel 0; applied (\d+), rejected 0; log lines (\d+), dropped from the log 0`)
	m := account.FindStringSubmatch(got.stdout)
	if m == nil || m[1] != m[2] || m[1] != m[3] || m[1] != m[4] {
		t.Errorf("%q of %s", m, got.stdout)
	}
}

// Broadcast is tested in network namespaces without a name, which go when their processes do, even after kill -9:
//
//	TestBroadcastCopies, where the tests run
//	└─ the same as insideGatewayHost, in a namespace of its own: the gateway's host, 192.0.2.1; with the gateway
//	   └─ engineHost in a namespace of its own: an engine's host, 192.0.2.2
//
// A veth pair connects the two.
const (
	roleVariable = "STATE_BROADCAST_ROLE"
	broadcastTo  = "192.0.2.255"
	broadcasts   = 50 // states that each host's agent sends
)

// What the engine's host answers on its standard output, each after a line on its standard input.
const (
	engineReady = "ready"
	engineUp    = "up"
	engineSent  = "sent"
)

func init() {
	if os.Getenv(roleVariable) == "engine" { // this process is no test
		if err := engineHost(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "engine's host:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// In broadcast mode, of an agent's three copies one is applied and the others that get to the gateway are duplicates;
// each is counted by where it was sent to.
func TestBroadcastCopies(t *testing.T) {
	if os.Getenv(roleVariable) == "gateway" {
		insideGatewayHost(t)
		return
	}
	needs.Root(t)
	needs.Command(t, "ip")
	unshare := needs.Command(t, "unshare")
	if out, err := exec.Command(unshare, "--net", "ip", "link", "add", "probe0", "type", "veth").CombinedOutput(); err != nil {
		needs.Skip(t, fmt.Sprintf("no network namespace with a veth pair can be made: %v: %s", err, out))
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, unshare, "--net", os.Args[0], "-test.run=^TestBroadcastCopies$", "-test.v", "-test.timeout=50s")
	cmd.Env = append(os.Environ(), roleVariable+"=gateway")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestBroadcastCopies") {
		t.Errorf("%v\n%s", err, out)
	}
}

// transports is what /stats says of where datagrams were sent to.
type transports struct {
	stats
	Unicast   uint64 `json:"unicast_received"`
	Broadcast uint64 `json:"broadcast_received"`
}

func insideGatewayHost(t *testing.T) {
	engine := startEngineHost(t)
	shell(t, "ip", "link", "set", "lo", "up")
	shell(t, "ip", "link", "add", "gateway0", "type", "veth", "peer", "name", "engine0", "netns", strconv.Itoa(engine.pid))
	shell(t, "ip", "address", "add", "192.0.2.1/24", "broadcast", "+", "dev", "gateway0")
	shell(t, "ip", "link", "set", "gateway0", "up")
	engine.ask(t, "set up", engineUp)
	if err := awaitLink("gateway0"); err != nil {
		t.Fatal(err)
	}
	p := startGateway(t, "NETWORK_MODE=broadcast")

	// From another host only the copy to the subnet gets here.
	engine.ask(t, fmt.Sprint(p.udp.Port()), engineSent)
	p.awaitAccounted(t, broadcasts)
	var s transports
	p.get(t, "/stats", &s)
	if s.Applied != broadcasts || s.Broadcast != broadcasts || s.Unicast != 0 || s.Duplicate != 0 {
		t.Errorf("from another host: %+v", s)
	}

	// From its own host all three do.
	if err := sendCopies("http://192.0.2.1:8000", p.udp.Port()); err != nil {
		t.Fatal(err)
	}
	p.awaitAccounted(t, 4*broadcasts)
	s = transports{}
	p.get(t, "/stats", &s)
	if s.Applied != 2*broadcasts || s.Duplicate != 2*broadcasts || s.Broadcast != 2*broadcasts || s.Unicast != 2*broadcasts {
		t.Errorf("from both hosts: %+v", s)
	}
	var engines struct {
		Engines []struct {
			EngineID   string `json:"engine_id"`
			SourceAddr string `json:"source_addr"`
			Conflict   bool
		}
	}
	p.get(t, "/v1/engines", &engines)
	for i, want := range []string{"192.0.2.1", "192.0.2.2"} {
		if len(engines.Engines) != 2 {
			t.Fatalf("%+v", engines)
		}
		e := engines.Engines[i]
		from := netip.MustParseAddrPort(e.SourceAddr).Addr()
		if e.EngineID != "http://"+want+":8000" || from.String() != want || e.Conflict {
			t.Errorf("%+v", e)
		}
	}
}

// neighbour is the engine's host, as the gateway's sees it.
type neighbour struct {
	pid     int
	in      io.Writer
	answers *bufio.Scanner
}

// startEngineHost starts the engine's host in a namespace of its own.
func startEngineHost(t *testing.T) *neighbour {
	t.Helper()
	cmd := exec.Command("unshare", "--net", os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=engine")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	n := &neighbour{cmd.Process.Pid, in, bufio.NewScanner(out)}
	n.await(t, engineReady)
	return n
}

func (n *neighbour) ask(t *testing.T, question, answer string) {
	t.Helper()
	if _, err := fmt.Fprintln(n.in, question); err != nil {
		t.Fatal(err)
	}
	n.await(t, answer)
}

func (n *neighbour) await(t *testing.T, answer string) {
	t.Helper()
	if !n.answers.Scan() || n.answers.Text() != answer {
		t.Fatalf("the engine's host says %q, want %q: %v", n.answers.Text(), answer, n.answers.Err())
	}
}

// engineHost sets its end of the veth pair up and sends when it is asked to.
func engineHost(in io.Reader, out io.Writer) error {
	questions := bufio.NewScanner(in)
	fmt.Fprintln(out, engineReady)
	if !questions.Scan() {
		return questions.Err()
	}
	for _, args := range []string{"link set lo up", "address add 192.0.2.2/24 broadcast + dev engine0", "link set engine0 up"} {
		if text, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, text)
		}
	}
	if err := awaitLink("engine0"); err != nil {
		return err
	}
	fmt.Fprintln(out, engineUp)
	if !questions.Scan() {
		return questions.Err()
	}
	port, err := strconv.ParseUint(questions.Text(), 10, 16)
	if err != nil {
		return err
	}
	if err := sendCopies("http://192.0.2.2:8000", uint16(port)); err != nil {
		return err
	}
	fmt.Fprintln(out, engineSent)
	questions.Scan() // until the end: with this process goes the namespace, and with that the pair
	return questions.Err()
}

// awaitLink waits until an interface can carry something: the kernel drops what is sent before.
func awaitLink(name string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if link, err := net.InterfaceByName(name); err == nil && link.Flags&net.FlagRunning != 0 {
			return nil
		}
	}
	return fmt.Errorf("%s does not run", name)
}

// sendCopies sends what an agent in broadcast mode does: three copies from one socket, to wherever they get.
func sendCopies(engineID string, port uint16) error {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	var targets []*net.UDPAddr
	for _, host := range []string{broadcastTo, "127.0.0.1", "localhost"} {
		a, err := net.ResolveUDPAddr("udp4", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			return err
		}
		targets = append(targets, a)
	}
	agent := traffic.NewEmulator(traffic.EmulatorConfig{EngineID: engineID, Epoch: time.Now(), Interval: 200 * time.Millisecond, Copies: traffic.BroadcastCopies})
	for range broadcasts {
		_, s, copies := agent.Next()
		for _, target := range targets[:copies] {
			if _, err := conn.WriteToUDP(s.AppendJSON(nil), target); err != nil {
				return fmt.Errorf("to %v: %w", target, err)
			}
		}
	}
	return nil
}

// shell runs a command of the test's own namespace.
func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}
