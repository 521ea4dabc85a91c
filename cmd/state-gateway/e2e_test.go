package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
)

// process is a gateway of the real binary, on free ports of the loopback address unless the settings say otherwise.
type process struct {
	cmd     *exec.Cmd
	udp     netip.AddrPort // to send to
	url     string
	health  string // the health address's URL
	logFile string
	stderr  *os.File // the reading end

	mu       sync.Mutex
	messages []string // lines of standard error
	exited   chan struct{}
}

// startGateway starts a gateway and waits until it says that it has started. The test's end kills it if need be.
func startGateway(t *testing.T, settings ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(binary), settings...)
}

// startCommand is startGateway for a command that becomes the gateway, with an environment beside the settings.
func startCommand(t *testing.T, cmd *exec.Cmd, settings ...string) *process {
	t.Helper()
	p := &process{cmd: cmd, logFile: filepath.Join(t.TempDir(), "engine_states.jsonl"), exited: make(chan struct{})}
	p.cmd.Env = append(append(p.cmd.Env, env("UDP_PORT=0", "HTTP_ADDRESS=127.0.0.1:0", "LOG_FILE="+p.logFile)...), env(settings...)...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = stderr.(*os.File)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan string, 1)
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.messages = append(p.messages, lines.Text())
			p.mu.Unlock()
			if strings.Contains(lines.Text(), "state gateway started") {
				started <- lines.Text()
			}
		}
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		if strings.Contains(p.said(), "DATA RACE") {
			t.Errorf("%s", p.said())
		}
	})
	select {
	case line := <-started:
		p.readStart(t, line)
	case <-p.exited:
		t.Fatalf("it did not start: %s", p.said())
	case <-time.After(20 * time.Second):
		t.Fatalf("not started within 20 s: %s", p.said())
	}
	return p
}

func (p *process) readStart(t *testing.T, line string) {
	t.Helper()
	var start struct{ UDP, HTTP, Health string }
	if err := json.Unmarshal([]byte(line), &start); err != nil {
		t.Fatalf("start line: %v: %s", err, line)
	}
	udp, err := netip.ParseAddrPort(start.UDP)
	if err != nil {
		t.Fatalf("start line: %v: %s", err, line)
	}
	p.udp = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), udp.Port())
	p.url, p.health = "http://"+start.HTTP, "http://"+start.Health
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.messages, "\n")
}

// stop sends a signal and waits for the end; it returns the exit code and how long the end took.
func (p *process) stop(t *testing.T, s os.Signal) (code int, took time.Duration) {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("no end within 30 s: %s", p.said())
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(begin)
}

// get decodes the JSON answer of a path into v and fails the test unless it is a 200.
func (p *process) get(t *testing.T, path string, v any) {
	t.Helper()
	resp, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", path, resp.Status, body, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// stats is what the tests look at of /stats.
type stats struct {
	TotalReceived uint64            `json:"total_received"`
	ValidStates   uint64            `json:"valid_states"`
	InvalidStates uint64            `json:"invalid_states"`
	Applied       uint64            `json:"applied"`
	Duplicate     uint64            `json:"duplicate"`
	OutOfOrder    uint64            `json:"out_of_order"`
	Rejected      map[string]uint64 `json:"rejected"`
	KernelDropped uint64            `json:"kernel_dropped"`
	Logged        uint64            `json:"logged"`
	LogDropped    uint64            `json:"log_dropped"`
	LogQueued     uint64            `json:"log_queued"`
	TotalEngines  int               `json:"total_engines"`
}

// identity returns what does not add up, or "".
func (s stats) identity() string {
	var rejected uint64
	for _, n := range s.Rejected {
		rejected += n
	}
	switch {
	case s.TotalReceived != s.Applied+s.Duplicate+s.OutOfOrder+rejected:
		return fmt.Sprintf("received ≠ applied + duplicate + out_of_order + rejected: %+v", s)
	case s.InvalidStates != rejected || s.ValidStates != s.TotalReceived-rejected:
		return fmt.Sprintf("valid and invalid states: %+v", s)
	case s.Applied != s.Logged+s.LogDropped+s.LogQueued:
		return fmt.Sprintf("applied ≠ logged + log_dropped + log_queued: %+v", s)
	}
	return ""
}

// awaitStats polls /stats until a condition holds.
func (p *process) awaitStats(t *testing.T, what string, holds func(stats) bool) stats {
	t.Helper()
	var s stats
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		s = stats{}
		if p.get(t, "/stats", &s); holds(s) {
			return s
		}
	}
	t.Fatalf("%s: not within 30 s: %+v", what, s)
	return s
}

// awaitAccounted waits until everything sent has been received, or dropped by the kernel, and settled in the log.
func (p *process) awaitAccounted(t *testing.T, sent uint64) stats {
	t.Helper()
	s := p.awaitStats(t, fmt.Sprintf("%d accounted for", sent), func(s stats) bool {
		return s.TotalReceived+s.KernelDropped >= sent && s.LogQueued == 0
	})
	if s.TotalReceived+s.KernelDropped != sent {
		t.Errorf("received + kernel_dropped = %d, sent %d", s.TotalReceived+s.KernelDropped, sent)
	}
	if wrong := s.identity(); wrong != "" {
		t.Error(wrong)
	}
	return s
}

// logLine is a line of the state log with its state's text as it stands there.
type logLine struct {
	Timestamp float64
	State     json.RawMessage
}

// readLog returns the lines of the state log and fails the test if one of them is not whole.
func (p *process) readLog(t *testing.T) []logLine {
	t.Helper()
	text, err := os.ReadFile(p.logFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("the log ends in the middle of a line")
	}
	var lines []logLine
	for line := range bytes.Lines(text) {
		var l logLine
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil || l.Timestamp == 0 || len(l.State) == 0 {
			t.Fatalf("line %d: %v: %s", len(lines)+1, err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// dial returns a socket connected to the gateway.
func (p *process) dial(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.udp))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (p *process) send(t *testing.T, payload string) {
	t.Helper()
	if _, err := p.dial(t).Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// The deployment guide's own test datagram: compact, a timestamp of 1970, and echo's line break behind it.
const guideDatagram = `{"engine_id":"test","timestamp_ms":1234567890,"latency_pred_ms":100.0,"scheduling_mode":"latency_optimized","pending_tokens_total":10,"kv_cache_free_blocks":100,"kv_cache_total_blocks":1000,"engine_capacity":1000.0}`

func TestGuideDatagram(t *testing.T) {
	nc := needs.Command(t, "nc")
	t.Parallel()
	p := startGateway(t)
	cmd := exec.Command("sh", "-c", `echo "$0" | "$1" -u -w1 127.0.0.1 "$2"`, guideDatagram, nc, fmt.Sprint(p.udp.Port()))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nc: %v: %s", err, out)
	}
	s := p.awaitAccounted(t, 1)
	if s.TotalReceived != 1 || s.Applied != 1 || s.Logged != 1 {
		t.Errorf("stats %+v", s)
	}
	want := map[string]any{"engine_id": "test", "timestamp_ms": 1234567890.0, "latency_pred_ms": 100.0,
		"scheduling_mode": "latency_optimized", "pending_tokens_total": 10.0, "kv_cache_free_blocks": 100.0,
		"kv_cache_total_blocks": 1000.0, "engine_capacity": 1000.0}
	var states map[string]map[string]any
	p.get(t, "/v1/engine-states", &states)
	if fmt.Sprint(states) != fmt.Sprint(map[string]any{"test": want}) {
		t.Errorf("/v1/engine-states: %v", states)
	}
	var engines struct{ Engines []map[string]any }
	p.get(t, "/v1/engines", &engines)
	if len(engines.Engines) != 1 {
		t.Fatalf("/v1/engines: %v", engines)
	}
	for name, value := range want {
		if engines.Engines[0][name] != value {
			t.Errorf("/v1/engines: %s is %v, want %v", name, engines.Engines[0][name], value)
		}
	}
	lines := p.readLog(t)
	if len(lines) != 1 || string(lines[0].State) != guideDatagram {
		t.Errorf("log: %+v", lines)
	}
	if age := time.Since(time.UnixMicro(int64(lines[0].Timestamp * 1e6))); age < 0 || age > time.Minute {
		t.Errorf("the line's timestamp was %v ago", age)
	}
}

// A datagram that is no state changes a counter and one message, and nothing else.
func TestGuideBadInput(t *testing.T) {
	p := startGateway(t)
	for range 20 {
		p.send(t, `{"test":"data"}`+"\n")
	}
	s := p.awaitAccounted(t, 20)
	if s.InvalidStates != 20 || s.Rejected["missing_field"] != 20 || s.TotalEngines != 0 || s.Applied != 0 {
		t.Errorf("stats %+v", s)
	}
	if len(p.readLog(t)) != 0 {
		t.Error("the state log has lines")
	}
	p.stop(t, syscall.SIGTERM)
	if n := messages(p.said(), map[string]string{"level": "WARN", "reason": "missing_field"}); n != 1 {
		t.Errorf("%d warnings about missing_field in:\n%s", n, p.said())
	}
}

func TestPortAndAddressTaken(t *testing.T) {
	p := startGateway(t, "WORKERS=2")
	port := fmt.Sprintf("UDP_PORT=%d", p.udp.Port())
	got := runBinary(t, env(port, "WORKERS=2", "HTTP_ADDRESS=127.0.0.1:0", "ENABLE_LOG=no"))
	if got.code != 69 || !strings.Contains(got.stderr, "VLLM_STATE_GATEWAY_"+port) {
		t.Errorf("a second gateway: %+v", got)
	}
	address := "HTTP_ADDRESS=" + strings.TrimPrefix(p.url, "http://")
	got = runBinary(t, env("UDP_PORT=0", address, "ENABLE_LOG=no"))
	if got.code != 69 || !strings.Contains(got.stderr, "VLLM_STATE_GATEWAY_"+address) {
		t.Errorf("HTTP address taken: %+v", got)
	}
	got = runBinary(t, env("UDP_PORT=0", "BIND_ADDRESS=192.0.2.1", "HTTP_ADDRESS=127.0.0.1:0", "ENABLE_LOG=no"))
	if got.code != 69 || !strings.Contains(got.stderr, "VLLM_STATE_GATEWAY_BIND_ADDRESS=192.0.2.1") || !strings.Contains(got.stderr, "0.0.0.0") {
		t.Errorf("foreign address: %+v", got)
	}
	for i := range 8 { // whichever socket they hash to, the first one keeps all traffic
		p.send(t, strings.Replace(guideDatagram, "test", fmt.Sprint(i), 1))
	}
	if s := p.awaitAccounted(t, 8); s.Applied != 8 {
		t.Errorf("stats %+v", s)
	}
}

// Routers may not take the table for whole until every engine has had the time to be heard.
func TestReadiness(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=100")
	status := func(path string) int {
		resp, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz at the start: %d", got)
	}
	if got := status("/livez"); got != http.StatusOK {
		t.Errorf("/livez at the start: %d", got)
	}
	begin := time.Now()
	for status("/readyz") != http.StatusOK {
		if time.Since(begin) > 30*time.Second {
			t.Fatal("not ready within 30 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if waited := time.Since(begin); waited < 2*time.Second { // 2.5 s after the sockets were bound
		t.Errorf("ready after %v", waited)
	}
	if got := runBinary(t, env("HTTP_ADDRESS="+strings.TrimPrefix(p.url, "http://")), "healthcheck"); got.code != 0 {
		t.Errorf("healthcheck: %+v", got)
	}
}

// Silence makes an engine stale and then makes it go, with nothing arriving.
func TestSilentEngineIsStaleThenGone(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=50", "REMOVE_AFTER=1500")
	p.send(t, guideDatagram)
	p.awaitAccounted(t, 1)
	var seen []string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var engines struct{ Engines []struct{ Status string } }
		p.get(t, "/v1/engines", &engines)
		if len(engines.Engines) == 0 {
			break
		}
		if s := engines.Engines[0].Status; len(seen) == 0 || seen[len(seen)-1] != s {
			seen = append(seen, s)
		}
		if time.Now().After(deadline) {
			t.Fatal("still there after 20 s")
		}
	}
	if len(seen) == 0 || seen[len(seen)-1] != "stale" {
		t.Errorf("statuses seen: %v", seen)
	}
	if s := p.awaitAccounted(t, 1); s.TotalEngines != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestEveryReasonOverTheWire(t *testing.T) {
	p := startGateway(t, "MAX_DATAGRAM=1KiB", "MAX_ENGINES=1", "STALE_THRESHOLD=60000")
	with := func(old, new string) string { return strings.Replace(guideDatagram, old, new, 1) }
	p.send(t, guideDatagram)
	p.awaitAccounted(t, 1)
	p.send(t, with("1234567890", "1234567891")) // with its second state the engine keeps its place
	p.awaitAccounted(t, 2)
	sent := uint64(2)
	for reason, payload := range map[string]string{
		"empty":           "",
		"too_large":       guideDatagram + strings.Repeat(" ", 1024),
		"json":            with("10,", "010,"),
		"missing_field":   with(`"engine_capacity"`, `"engine_capacities"`),
		"duplicate_field": with(`{`, `{"engine_id":"x",`),
		"type":            with("10,", "10.0,"),
		"range":           with("100,", "-2,"),
		"engine_limit":    with("test", "another"),
	} {
		sent++
		p.send(t, payload)
		s := p.awaitAccounted(t, sent)
		if s.Rejected[reason] != 1 {
			t.Errorf("%s: %v", reason, s.Rejected)
		}
	}
}
