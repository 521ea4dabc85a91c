package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// scratch is a directory for as long as the tests run.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "state-gateway-browser-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// binary is the gateway, built once from the module around this one.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "state-gateway")
	build := exec.Command("go", "build", "-o", path, "./cmd/state-gateway")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// gateway is a running one.
type gateway struct {
	cmd    *exec.Cmd
	http   string // host:port
	udp    string
	exited chan struct{}
}

func (g *gateway) url() string { return "http://" + g.http + "/" }

// startGateway starts a gateway on two addresses; with port 0 it takes free ones. It ends with the test at the latest.
func startGateway(t *testing.T, http, udp string, flags ...string) *gateway {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(udp)
	if err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--http-address", http, "--udp-port", port, "--bind-address", "127.0.0.1",
		"--log-file", filepath.Join(t.TempDir(), "engine_states.jsonl"), "--message-format", "json"}, flags...)
	g := &gateway{cmd: exec.Command(path, flags...), exited: make(chan struct{})}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "VLLM_STATE_GATEWAY_") {
			g.cmd.Env = append(g.cmd.Env, variable)
		}
	}
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan [2]string, 1)
	go func() {
		defer close(g.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, UDP, HTTP string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && strings.Contains(line.Msg, "started") {
				started <- [2]string{line.HTTP, line.UDP}
			}
		}
		g.cmd.Wait()
	}()
	t.Cleanup(g.kill)
	select {
	case addresses := <-started:
		g.http, g.udp = addresses[0], addresses[1]
	case <-g.exited:
		t.Fatal("the gateway did not start")
	case <-time.After(30 * time.Second):
		t.Fatal("the gateway has not started within 30 s")
	}
	return g
}

// kill ends it as kill -9 does.
func (g *gateway) kill() {
	g.cmd.Process.Kill()
	<-g.exited
}

// engine is what one emulated engine says. Its clock is that of this machine.
type engine struct {
	id      string
	mode    string
	latency func(at time.Duration) float64 // at: since the fleet's start
	queue   func(at time.Duration) int
	used    float64       // share of the KV cache; < 0 is unknown
	ahead   time.Duration // by how much its clock is
	twice   bool          // two senders use this id
	silent  func(at time.Duration) bool
	idle    func(at time.Duration) bool // it only beats
}

// fleet sends engines' states to a gateway.
type fleet struct {
	to      string
	every   time.Duration
	engines []engine
	garbage bool // now and then something that is no state
}

// run sends until the test ends, each engine at its own moment of the interval.
func (f *fleet) run(t *testing.T) {
	t.Helper()
	var senders [2]net.Conn
	for i := range senders {
		conn, err := net.Dial("udp", f.to)
		if err != nil {
			t.Fatal(err)
		}
		senders[i] = conn
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
		for _, conn := range senders {
			conn.Close()
		}
	})
	const parts = 20 // of an interval
	go func() {
		defer close(stopped)
		tick := time.NewTicker(f.every / parts)
		defer tick.Stop()
		start := time.Now()
		for n := 0; ; n++ {
			at := time.Since(start)
			for i := n % parts; i < len(f.engines); i += parts {
				e := &f.engines[i]
				if e.silent == nil || !e.silent(at) {
					// An error is a gateway that does not run at present.
					_, _ = senders[(n/parts%2)*number(e.twice)].Write(e.state(at))
				}
			}
			if f.garbage && n%parts == 0 {
				_, _ = senders[0].Write([]byte(`{"engine_id": "x"`))
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// state returns a datagram.
func (e *engine) state(at time.Duration) []byte {
	s := struct {
		EngineID string  `json:"engine_id"`
		Time     int64   `json:"timestamp_ms"`
		Latency  float64 `json:"latency_pred_ms"`
		Mode     string  `json:"scheduling_mode"`
		Pending  int     `json:"pending_tokens_total"`
		Free     int     `json:"kv_cache_free_blocks"`
		Total    int     `json:"kv_cache_total_blocks"`
		Capacity float64 `json:"engine_capacity"`
	}{e.id, time.Now().Add(e.ahead).UnixMilli(), 0, "latency_optimized", 0, -1, -1, 0}
	if e.idle == nil || !e.idle(at) {
		s.Latency, s.Mode, s.Capacity = 20, "balanced", 59768.2749641796
		if e.mode != "" {
			s.Mode = e.mode
		}
		if e.latency != nil {
			s.Latency = e.latency(at)
		}
		if e.queue != nil {
			s.Pending = e.queue(at)
		}
		if e.used >= 0 {
			s.Total = 12000
			s.Free = int((1 - e.used) * 12000)
		}
	}
	datagram, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return datagram
}
