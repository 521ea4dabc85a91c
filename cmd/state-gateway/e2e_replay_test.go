package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

// writeCapture writes a state log of engines that push every 200 ms for some rounds, and returns its path.
func writeCapture(t *testing.T, engines, rounds int) (path string) {
	t.Helper()
	var agents []*traffic.Agent
	for i := range engines {
		agents = append(agents, traffic.NewAgent(fmt.Sprintf("http://10.0.0.%d:8000", i+1), uint64(i)))
	}
	begin := time.UnixMilli(1_755_532_567_495)
	var text []byte
	for i := range rounds {
		for k, agent := range agents {
			at := begin.Add(200*time.Millisecond*time.Duration(i) + 200*time.Millisecond*time.Duration(k)/time.Duration(engines))
			s := agent.Next(at)
			text = fmt.Appendf(text, `{"timestamp": %.6f, "state": %s}`+"\n", float64(at.UnixMicro()+3000)/1e6, s.AppendJSON(nil))
		}
	}
	path = filepath.Join(t.TempDir(), "captured.jsonl")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// replay runs a replay to a gateway to its end, which must be a good one with everything accounted for, and returns the
// figures of its report.
func (p *process) replay(t *testing.T, args ...string) map[string]int {
	t.Helper()
	got := runBinaryFor(t, 2*time.Minute, nil, append([]string{"replay", "--target=" + p.udp.String(), "--gateway=" + p.url}, args...)...)
	if got.code != 0 || !strings.HasSuffix(got.stdout, allAccounted) {
		t.Fatalf("replay %v: %+v", args, got)
	}
	for line := range strings.Lines(got.stdout) {
		if strings.HasPrefix(line, "lateness") || strings.HasPrefix(line, "speed") {
			t.Logf("%v: %s", args, line)
		}
	}
	return figures(t, got.stdout)
}

// checkReplay holds a report to its own sums and to the gateway's counters, which nothing else has touched.
func checkReplay(t *testing.T, f map[string]int, p *process) {
	t.Helper()
	var s stats
	p.get(t, "/stats", &s)
	if f["sent"] != f["read"]-f["skipped"]-f["left_out"]+f["added"]-f["lost"]+f["doubled"] || f["sent"] != f["received"]+f["kernel_dropped"] ||
		f["errors"] != 0 || uint64(f["received"]) != s.TotalReceived || uint64(f["applied"]) != s.Applied {
		t.Errorf("figures %v, stats %+v", f, s)
	}
}

// byEngine returns the states of a log, for each engine in order.
func byEngine(t *testing.T, lines []logLine) map[string][]string {
	t.Helper()
	states := map[string][]string{}
	for _, l := range lines {
		var s wireState
		if err := json.Unmarshal(l.State, &s); err != nil {
			t.Fatal(err)
		}
		states[s.EngineID] = append(states[s.EngineID], string(l.State))
	}
	return states
}

// sameStates fails the test unless each engine has the same states in the same order.
func sameStates(t *testing.T, got, want map[string][]string) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("engines %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for id := range want {
		if !slices.Equal(got[id], want[id]) {
			t.Errorf("%s: %d states, want %d, or they differ", id, len(got[id]), len(want[id]))
		}
	}
}

// The recorded stream has the same states again: at ten times its speed, and with STATE_SOAK also at its own, of a minute.
func TestReplayRecordedStream(t *testing.T) {
	t.Parallel()
	path, want := os.Getenv("STATE_TRACE"), 295
	if path == "" {
		path = writeCapture(t, 1, want)
	}
	recorded := (&process{logFile: path}).readLog(t)
	if len(recorded) != want {
		t.Fatalf("%d states are recorded, want %d", len(recorded), want)
	}
	speeds := []string{"10x"}
	if os.Getenv("STATE_SOAK") != "" {
		speeds = append(speeds, "1x")
	}
	for _, speed := range speeds {
		t.Run(speed, func(t *testing.T) {
			t.Parallel()
			p := startGateway(t)
			begin := time.Now()
			f := p.replay(t, "--speed="+speed, path)
			checkReplay(t, f, p)
			if f["sent"] != want || f["applied"] != want {
				t.Errorf("figures %v", f)
			}
			if took := time.Since(begin); took < 5*time.Second || speed == "1x" && took < 55*time.Second { // of 60 s
				t.Errorf("it took %v", took)
			}
			lines := p.readLog(t)
			if len(lines) != want {
				t.Fatalf("%d lines", len(lines))
			}
			for i, l := range lines {
				if got, want := values(t, l.State), values(t, recorded[i].State); !reflect.DeepEqual(got, want) {
					t.Errorf("line %d: %v, want %v", i+1, got, want)
				}
			}
		})
	}
}

// Every change together: the figures add up, and the same seed makes the same of them.
func TestReplayChanged(t *testing.T) {
	t.Parallel()
	path := writeCapture(t, 5, 100)
	args := []string{"--speed=max", "--rate=2000", "--start=2s", "--stop=10s", "--loop=2", "--engines=3",
		"--drop=10", "--duplicate=10", "--reorder=20", "--shuffle-seed=7", path}
	var first map[string][]string
	for range 2 {
		p := startGateway(t)
		f := p.replay(t, args...)
		checkReplay(t, f, p)
		// 500 datagrams, of which the first 50 come before 2 s; one is read that is past 10 s.
		if f["read"] != 2*252 || f["left_out"] != 2*51 || f["added"] != 2*2*201 || f["not_multiplied"] != 0 ||
			f["lost"] == 0 || f["doubled"] == 0 || f["overtaken"] == 0 || f["duplicate"] == 0 || f["out_of_order"] == 0 || f["kernel_dropped"] != 0 {
			t.Errorf("figures %v", f)
		}
		states := byEngine(t, p.readLog(t))
		if len(states) != 15 {
			t.Errorf("%d engines", len(states))
		}
		if first == nil {
			first = states
		}
		sameStates(t, states, first)
	}
}

// With new timestamps each round is newer than the one before it, and all are what engines would write now.
func TestReplayRetimed(t *testing.T) {
	t.Parallel()
	path := writeCapture(t, 2, 50)
	p := startGateway(t)
	before := time.Now().UnixMilli()
	f := p.replay(t, "--speed=20x", "--loop=3", "--retime", path)
	checkReplay(t, f, p)
	if f["applied"] != 300 || f["sent"] != 300 {
		t.Errorf("figures %v", f)
	}
	lines := p.readLog(t)
	for i, l := range lines {
		var s wireState
		if err := json.Unmarshal(l.State, &s); err != nil {
			t.Fatal(err)
		}
		// What the log says of the arrival is later than the timestamp by what passed between sending and arrival; the
		// captured delay of 3 ms shrinks to less than 1.
		if arrived := int64(l.Timestamp * 1000); s.TimestampMs > arrived || s.TimestampMs < before-1 {
			t.Errorf("line %d: timestamp %d, arrived at %d, begun at %d", i+1, s.TimestampMs, arrived, before)
		}
	}

	// With the captured ones each further round looks like a clock that was set back: two states of each engine are out
	// of order before the gateway sees it.
	p = startGateway(t)
	f = p.replay(t, "--speed=max", "--rate=2000", "--loop=3", path)
	checkReplay(t, f, p)
	if f["applied"] != 292 || f["out_of_order"] != 2*2*2 {
		t.Errorf("without new timestamps, figures %v", f)
	}
}

func TestReplayInputs(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	line := `{"timestamp": 1755532567.502843, "state": ` + guideDatagram + "}\n"
	torn := write("torn.jsonl", line+"no line of a log\n"+line[:50])
	f := p.replay(t, torn)
	checkReplay(t, f, p)
	if f["read"] != 3 || f["skipped"] != 2 || f["sent"] != 1 {
		t.Errorf("figures %v", f)
	}

	// From standard input, as from a pipe.
	cmd := exec.Command(binary, "replay", "-", "--target="+p.udp.String())
	cmd.Env, cmd.Stdin = []string{}, strings.NewReader(line+line)
	if out, err := cmd.Output(); err != nil || figures(t, string(out))["sent"] != 2 {
		t.Errorf("standard input: %v: %s", err, out)
	}

	for _, test := range []struct {
		name, file, want string
	}{
		{"nothing", write("none.jsonl", "{}\n"), "there is no datagram in it: not_a_log_line 1"},
		{"nothing left", write("one.jsonl", line), "none of its 1 datagrams is left: left_out 1, lost 0"},
		{"no such file", filepath.Join(dir, "missing"), "missing: no such file"},
	} {
		for _, mode := range []string{"--target=" + p.udp.String(), "--offline", "--states-at=end", "--summary"} {
			if got := runBinary(t, nil, "replay", mode, "--start=1s", test.file); got.code != 1 || !strings.Contains(got.stderr, test.want) {
				t.Errorf("%s, %s: %+v", test.name, mode, got)
			}
		}
	}

	if got := runBinary(t, nil, "replay", "--target="+sink(t), "--gateway="+p.url, torn); got.code != 1 ||
		!strings.Contains(got.stderr, "unaccounted for: sent − received − kernel_dropped = 1, not 0") {
		t.Errorf("what the gateway knows nothing of: %+v", got)
	}
}

// A first interrupt ends the wait for a pipe that has said nothing yet, too: there is nothing to report.
func TestReplayInterruptedAtOnce(t *testing.T) {
	for _, mode := range []string{"--target=" + sink(t), "--offline", "--summary"} {
		var stdout, stderr bytes.Buffer
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "replay", pipe, mode)
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{}, &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in, err := os.OpenFile(pipe, os.O_WRONLY, 0) // as soon as it is opened for reading
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || stderr.String() != "state-gateway: received interrupt\n" {
			t.Errorf("%s: %v\n%s%s", mode, err, stdout.String(), stderr.String())
		}
		in.Close()
	}
}

// A first interrupt ends a replay with the whole report: in a pause, and while a pipe is silent.
func TestReplayInterrupted(t *testing.T) {
	t.Parallel()
	state := func(at string) string { return `{"timestamp": ` + at + `, "state": ` + guideDatagram + "}\n" }
	for _, name := range []string{"in a pause", "in a read"} {
		t.Run(name, func(t *testing.T) {
			p := startGateway(t)
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(binary, "replay", "-", "--target="+p.udp.String(), "--gateway="+p.url)
			cmd.Env, cmd.Stdout, cmd.Stderr = []string{}, &stdout, &stderr
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			text, unsent := state("1755532567.5"), 0
			if name == "in a pause" {
				text, unsent = text+state("1755539999.5"), 1
			}
			if _, err := io.WriteString(in, text); err != nil {
				t.Fatal(err)
			}
			if name == "in a pause" {
				in.Close()
			}
			p.awaitStats(t, "something received", func(s stats) bool { return s.TotalReceived > 0 })
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil || !strings.HasSuffix(stdout.String(), allAccounted) {
				t.Errorf("%v\n%s%s", err, stdout.String(), stderr.String())
			}
			if f := figures(t, stdout.String()); f["sent"] != 1 || f["not_sent"] != unsent || f["received"] != 1 {
				t.Errorf("figures %v", f)
			}
		})
	}
}
