package deploy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the gateway, built once, as it is shipped but for the stamp. Everybody may run it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "state-gateway")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "state-gateway")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../cmd/state-gateway")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// guideDatagram is the deployment guide's own test, without echo's line break.
const guideDatagram = `{"engine_id":"test","timestamp_ms":1234567890,"latency_pred_ms":100.0,"scheduling_mode":"latency_optimized","pending_tokens_total":10,"kv_cache_free_blocks":100,"kv_cache_total_blocks":1000,"engine_capacity":1000.0}`

// running is a gateway that has said that it has started, in JSON.
type running struct {
	cmd    *exec.Cmd
	udp    string // 127.0.0.1:port
	url    string
	exited chan struct{}
}

// start starts cmd, which is to become a gateway on free ports, and waits for its word. The test's end kills it.
func start(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{cmd: cmd, exited: make(chan struct{})}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{ UDP, HTTP string }, 1)
	var said bytes.Buffer // complete when exited is closed
	go func() {
		defer close(r.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			var line struct{ Msg, UDP, HTTP string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "state gateway started" {
				started <- struct{ UDP, HTTP string }{line.UDP, line.HTTP}
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-r.exited
	})
	select {
	case at := <-started:
		r.udp = fmt.Sprintf("127.0.0.1:%d", netip.MustParseAddrPort(at.UDP).Port())
		r.url = fmt.Sprintf("http://127.0.0.1:%d", netip.MustParseAddrPort(at.HTTP).Port())
	case <-r.exited:
		t.Fatalf("it did not start: %s", said.String())
	case <-time.After(30 * time.Second):
		t.Fatal("not started within 30 s")
	}
	return r
}

// send sends a state of the engine with the given id; the same again is a duplicate.
func (r *running) send(t *testing.T, engineID string) {
	t.Helper()
	c, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Replace(guideDatagram, "test", engineID, 1))); err != nil {
		t.Fatal(err)
	}
}

// stop ends the gateway with SIGTERM and returns its exit code.
func (r *running) stop(t *testing.T) int {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("no end within 30 s")
	}
	return r.cmd.ProcessState.ExitCode()
}

// await waits until a condition holds; last tells what was seen of it.
func await(t *testing.T, what string, holds func() (ok bool, last string)) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		ok, now := holds()
		if ok {
			return
		}
		last = now
	}
	t.Fatalf("%s: not within 90 s: %s", what, last)
}

// awaitLines waits until a file has as many lines.
func awaitLines(t *testing.T, file string, lines int) {
	t.Helper()
	await(t, fmt.Sprintf("%d lines in %s", lines, file), func() (bool, string) {
		text, err := os.ReadFile(file)
		return bytes.Count(text, []byte("\n")) == lines, fmt.Sprintf("%v: %s", err, text)
	})
}

// stats asks a gateway for its account.
func stats(url string) (s struct {
	Applied      uint64
	TotalEngines int `json:"total_engines"`
	Active       int `json:"active_engines"`
}, err error) {
	response, err := http.Get(url + "/stats")
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s, errors.New(response.Status)
	}
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end, in an empty directory if it has none.
func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// here returns the absolute path of a file of this folder.
func here(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// glob returns the files of this folder that match one of the patterns, and fails the test if there are fewer than least.
func glob(t *testing.T, least int, patterns ...string) (files []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < least {
		t.Fatalf("%q: only %v", patterns, files)
	}
	return files
}
