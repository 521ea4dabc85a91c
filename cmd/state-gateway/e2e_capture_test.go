package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/replay"
	"github.com/elrar/state-gateway/state"
)

const aloneVariable = "STATE_ALONE" // the name of the test that runs alone

// alone runs the test that calls it once more, in a network namespace of its own where every port is free and nothing but
// what the test sends is to be heard, and returns true there. Elsewhere it returns false when that has ended; the test has
// then failed if it failed there.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneVariable) == t.Name() {
		shell(t, "ip", "link", "set", "lo", "up")
		return true
	}
	needs.Root(t)
	needs.Command(t, "ip")
	unshare := needs.Command(t, "unshare")
	if out, err := exec.Command(unshare, "--net", "true").CombinedOutput(); err != nil {
		needs.Skip(t, fmt.Sprintf("no network namespace can be made: %v: %s", err, out))
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, unshare, "--net", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=4m")
	cmd.Env = append(os.Environ(), aloneVariable+"="+t.Name())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own namespace: %v", err)
	}
	return false
}

// documented returns the lines of code in docs/replay.md that begin as given.
func documented(t *testing.T, begin string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(line, "    "+begin); ok {
			lines = append(lines, begin+strings.TrimSuffix(code, "\n"))
		}
	}
	return lines
}

// capturing is a tcpdump that writes states.pcap.
type capturing struct {
	cmd  *exec.Cmd
	file string

	mu    sync.Mutex
	text  strings.Builder // of standard error
	ended chan struct{}
}

// startCapture runs a recipe, in a shell as people do, in a directory of its own, and waits until it listens.
func startCapture(t *testing.T, recipe string) *capturing {
	t.Helper()
	dir := t.TempDir()
	c := &capturing{cmd: exec.Command("sh", "-c", recipe), file: filepath.Join(dir, "states.pcap"), ended: make(chan struct{})}
	c.cmd.Dir = dir
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C goes to the shell and to tcpdump
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			c.mu.Lock()
			fmt.Fprintln(&c.text, lines.Text())
			c.mu.Unlock()
			if strings.Contains(lines.Text(), "listening on") {
				close(listening)
			}
		}
		c.cmd.Wait()
	}()
	t.Cleanup(func() {
		c.interrupt()
		<-c.ended
	})
	select {
	case <-listening:
	case <-c.ended:
		t.Fatalf("%s: %s", recipe, c.said())
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: does not listen within 20 s: %s", recipe, c.said())
	}
	return c
}

func (c *capturing) interrupt() { syscall.Kill(-c.cmd.Process.Pid, syscall.SIGINT) }

func (c *capturing) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// end waits until n datagrams are in the file, ends the capture, and returns what it has, for each engine in order.
func (c *capturing) end(t *testing.T, n int) map[string][]string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, got := readCapture(t, c.file); got >= n {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %d datagrams within 30 s: %s", n, c.said())
		}
	}
	c.interrupt()
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("tcpdump does not end within 20 s: %s", c.said())
	}
	if !strings.Contains(c.said(), fmt.Sprintf("%d packets captured", n)) || !strings.Contains(c.said(), "\n0 packets dropped by kernel") {
		t.Errorf("tcpdump says: %s", c.said())
	}
	states, got := readCapture(t, c.file)
	if got != n {
		t.Errorf("%d datagrams captured, want %d", got, n)
	}
	return states
}

// readCapture returns the states in a capture, as sent, for each engine in order, and how many datagrams there are.
func readCapture(t *testing.T, path string) (states map[string][]string, datagrams int) {
	t.Helper()
	if info, err := os.Stat(path); err == nil && info.Size() == 0 { // tcpdump has not begun to write
		return nil, 0
	}
	c, err := replay.Open([]string{path}, replay.ReadOptions{Port: 9999})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	states = map[string][]string{}
	decoder := decode.New()
	var s state.State
	for {
		d, err := c.Next()
		if err == io.EOF {
			return states, datagrams
		} else if err != nil {
			t.Fatal(err)
		}
		datagrams++
		if reason := decoder.Decode(d.Payload, &s); reason != state.Accepted {
			t.Fatalf("captured %q: %v", d.Payload, reason)
		}
		id := strings.Clone(s.EngineID)
		states[id] = append(states[id], string(d.Payload))
	}
}

// What tcpdump captured of a load by the documentation's recipe comes to another gateway as it came to the first one, at
// any speed; and what is captured of the replay is what was captured.
func TestReplayCaptured(t *testing.T) {
	needs.Command(t, "tcpdump")
	if !alone(t) {
		return
	}
	recipes := documented(t, "tcpdump -i any ")
	if len(recipes) != 1 {
		t.Fatalf("recipes in the documentation: %q", recipes)
	}
	devices := []string{"any"}
	if needs.IsFullCheck() {
		devices = append(devices, "lo")
	}
	for _, device := range devices {
		recipe := strings.Replace(recipes[0], "-i any", "-i "+device, 1)
		capture := startCapture(t, recipe)
		p := startGateway(t, "UDP_PORT=9999")
		load := runBinary(t, nil, "load", "--rate=2000", "--engines=20", "--for="+soak(5*time.Second, 2*time.Second).String(), "--gateway="+p.url)
		sent := figures(t, load.stdout)["sent"]
		if load.code != 0 || sent < 3000 {
			t.Fatalf("%+v", load)
		}
		captured := capture.end(t, sent)
		original := byEngine(t, p.readLog(t))
		p.stop(t, syscall.SIGTERM)
		for _, speed := range []string{"1x", "10x", "max"} {
			p := startGateway(t, "UDP_PORT=9999")
			again := startCapture(t, recipe)
			f := p.replay(t, "--speed="+speed, capture.file)
			checkReplay(t, f, p)
			if f["read"] != sent || f["sent"] != sent || f["received"] != sent || f["applied"] != sent {
				t.Errorf("-i %s at %s: figures %v", device, speed, f)
			}
			sameStates(t, byEngine(t, p.readLog(t)), original)
			sameStates(t, again.end(t, sent), captured)
			p.stop(t, syscall.SIGTERM)
		}
	}
}
