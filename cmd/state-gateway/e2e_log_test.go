package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
)

// logRate is what the tests of the state log send by default, in datagrams/s.
func logRate() float64 {
	if raceEnabled {
		return 3000
	}
	return 20_000
}

// startLoad sends until stop is called, which returns what was sent.
func (p *process) startLoad(t *testing.T, rate float64) (load *traffic.Load, stop func() uint64) {
	t.Helper()
	load, err := traffic.NewLoad(traffic.LoadConfig{Target: p.udp, Engines: 100, Senders: 2, Rate: rate, Shape: traffic.Usual})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	return load, func() uint64 {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		load.Close()
		return load.Sent()
	}
}

// logged is what of a load is in log files: sequence numbers by engine.
type logged map[string]map[int64]bool

// add reads a log file, compressed or not, fails the test if a line is not whole and valid, or was there before, and
// returns the number of lines.
func (l logged) add(t *testing.T, path string) (lines int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		r, err = gzip.NewReader(f)
	case ".zst":
		r, err = zstd.NewReader(f)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for line := range bytes.Lines(text) {
		var record struct {
			Timestamp float64
			State     struct {
				EngineID string `json:"engine_id"`
				Pending  int64  `json:"pending_tokens_total"`
			}
		}
		if err := json.Unmarshal(line, &record); err != nil || line[len(line)-1] != '\n' || record.Timestamp == 0 {
			t.Fatalf("%s, line %d: %v: %q", path, lines+1, err, line)
		}
		engine := l[record.State.EngineID]
		if engine == nil {
			engine = map[int64]bool{}
			l[record.State.EngineID] = engine
		}
		if engine[record.State.Pending] {
			t.Fatalf("%s, line %d is there twice: %s", path, lines+1, line)
		}
		engine[record.State.Pending] = true
		lines++
	}
	return lines
}

// siblings returns the log and everything else in its directory.
func (p *process) siblings(t *testing.T) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(p.logFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		paths = append(paths, filepath.Join(filepath.Dir(p.logFile), e.Name()))
	}
	return paths
}

// final returns the gateway's final figures.
func (p *process) final(t *testing.T) stats {
	t.Helper()
	var final struct {
		Msg                          string
		Received, Applied, Duplicate uint64
		OutOfOrder                   uint64 `json:"out_of_order"`
		Logged                       uint64
		LogDropped                   uint64 `json:"log_dropped"`
		LogQueued                    uint64 `json:"log_queued"`
		Rejected                     map[string]uint64
	}
	for line := range strings.Lines(p.said()) {
		if json.Unmarshal([]byte(line), &final) == nil && final.Msg == "final figures" {
			s := stats{TotalReceived: final.Received, ValidStates: final.Received, Applied: final.Applied, Duplicate: final.Duplicate,
				OutOfOrder: final.OutOfOrder, Rejected: final.Rejected, Logged: final.Logged, LogDropped: final.LogDropped, LogQueued: final.LogQueued}
			if wrong := s.identity(); wrong != "" || s.LogQueued != 0 {
				t.Errorf("%s: %+v", wrong, s)
			}
			return s
		}
	}
	t.Fatalf("no final figures: %s", p.said())
	return stats{}
}

// guideStanza is the deployment guide's, word for word.
const guideStanza = `%s {
    daily
    rotate 7
    compress
    delaycompress
    missingok
    notifempty
    create 644 root root
}
`

// The real logrotate with the guide's stanza, forced again and again under load: each state is in one file, none twice,
// and a file that is about to be compressed is not written to any more.
func TestLogrotate(t *testing.T) {
	logrotate := needs.Command(t, "logrotate")
	needs.Root(t) // create … root root
	p := startGateway(t)
	dir := t.TempDir()
	stanza, state := filepath.Join(dir, "stanza"), filepath.Join(dir, "state")
	if err := os.WriteFile(stanza, fmt.Appendf(nil, guideStanza, p.logFile), 0o644); err != nil {
		t.Fatal(err)
	}
	cycles, grace := 2, 2200*time.Millisecond // a second to notice, one for the new file, and a flush
	if needs.IsFullCheck() {
		cycles = 3
	}
	if soak(1, 0) > 0 {
		cycles = 6 // rotate 7 keeps all of them
	}
	_, stop := p.startLoad(t, logRate())
	p.awaitStats(t, "first lines", func(s stats) bool { return s.Logged > 0 })
	for cycle := range cycles {
		if out, err := exec.Command(logrotate, "-f", "-s", state, stanza).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("logrotate: %v: %s", err, out)
		}
		time.Sleep(grace) // the promise under test
		before, err := os.Stat(p.logFile + ".1")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond) // and nothing comes later
		if after, err := os.Stat(p.logFile + ".1"); err != nil || after.Size() != before.Size() || before.Size() == 0 {
			t.Errorf("cycle %d: the renamed file grew from %d to %d bytes, %v", cycle, before.Size(), after.Size(), err)
		}
	}
	s := p.awaitAccounted(t, stop())
	if s.LogDropped != 0 {
		t.Logf("%d lines were dropped", s.LogDropped)
	}
	in, total := logged{}, 0
	for _, path := range p.siblings(t) {
		lines := in.add(t, path)
		t.Logf("%s: %d lines", filepath.Base(path), lines)
		if total += lines; lines == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	if uint64(total) != s.Applied-s.LogDropped || uint64(total) != s.Logged {
		t.Errorf("%d lines, %+v", total, s)
	}
	want := []string{p.logFile, p.logFile + ".1"}
	for n := 2; n <= cycles; n++ {
		want = append(want, fmt.Sprintf("%s.%d.gz", p.logFile, n))
	}
	if got := p.siblings(t); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("files: %v, want %v", got, want)
	}
	if n := messages(p.said(), map[string]string{"level": "ERROR"}); n != 0 {
		t.Error(p.said())
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The gateway's own rotation under load, with a stop in the middle of it: the same holds, once a last run has finished
// what the stop interrupted.
func TestOwnRotation(t *testing.T) {
	settings := []string{"LOG_MAX_SIZE=3MiB", "LOG_KEEP=0", "LOG_COMPRESS=zstd"}
	p := startGateway(t, settings...)
	_, stop := p.startLoad(t, logRate())
	time.Sleep(soak(10*time.Second, 2*time.Second)) // of load
	s := p.awaitAccounted(t, stop())
	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	in, total := logged{}, 0
	paths := p.siblings(t)
	for _, path := range paths {
		total += in.add(t, path)
		if strings.HasSuffix(path, ".part") {
			t.Errorf("left behind: %s", path)
		}
	}
	if uint64(total) != s.Applied-s.LogDropped || uint64(total) != s.Logged || total > 20_000 && len(paths) < 3 {
		t.Errorf("%d lines in %d files, %+v", total, len(paths), s)
	}
	t.Logf("%d lines in %d files", total, len(paths))
}

// Killed under load, again and again: after the next start every line is whole, and missing are at most the 200 ms that
// the gateway may take to write a line.
func TestKilledUnderLoad(t *testing.T) {
	times := 3
	if soak(1, 0) > 0 {
		times = 20
	}
	rate := logRate()
	file := filepath.Join(t.TempDir(), "engine_states.jsonl")
	before, torn, most := 0, 0, 0
	for i := range times {
		p := startGateway(t, "LOG_FILE="+file, "WORKERS=1")
		load, err := traffic.NewLoad(traffic.LoadConfig{Target: p.udp, Engines: 100, Senders: 1, Rate: rate, Shape: traffic.Usual})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- load.Run(ctx) }()
		p.awaitStats(t, "some lines", func(s stats) bool { return s.Logged > uint64(500+i*577%5000) })
		sent := int(load.Sent())
		p.cmd.Process.Kill()
		<-p.exited
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		load.Close()

		p = startGateway(t, "LOG_FILE="+file)
		if strings.Contains(p.said(), "torn last line") {
			torn++
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		in := logged{}
		part := filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(part, text[before:], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := in.add(t, part) // whole and valid, each once
		before = len(text)
		missing := sent - lines
		most = max(most, missing)
		if limit := int(0.2 * rate); missing > limit {
			t.Errorf("kill %d: %d of %d sent are missing; 200 ms are %d", i, missing, sent, limit)
		}
		for engine, numbers := range in { // what is missing is the end, and nothing in the middle
			for n := range int64(len(numbers)) {
				if !numbers[1_000_000_000+n] {
					t.Errorf("kill %d: of %s number %d is missing before others", i, engine, n)
					break
				}
			}
		}
		p.stop(t, syscall.SIGTERM)
	}
	t.Logf("%d kills: at most %d lines missing, %d torn lines cut off", times, most, torn)
}

// A second gateway on the same file does not start, says which setting and who has it, and changes nothing.
func TestTwoGatewaysOfOneFile(t *testing.T) {
	p := startGateway(t)
	p.send(t, guideDatagram)
	p.awaitAccounted(t, 1)
	got := runBinary(t, env("UDP_PORT=0", "HTTP_ADDRESS=127.0.0.1:0", "LOG_FILE="+p.logFile))
	if got.code != 69 || !strings.Contains(got.stderr, "VLLM_STATE_GATEWAY_LOG_FILE="+p.logFile) ||
		!strings.Contains(got.stderr, fmt.Sprintf("process %d", p.cmd.Process.Pid)) {
		t.Errorf("%+v", got)
	}
	p.send(t, strings.Replace(guideDatagram, "test", "another", 1))
	p.awaitAccounted(t, 2)
	if n := len(p.readLog(t)); n != 2 {
		t.Errorf("%d lines", n)
	}
}

// A file that is no state log is refused, by the check before the start too, and stays as it is; row 44.
func TestForeignFileIsRefused(t *testing.T) {
	for _, text := range []string{"not a log, and the only copy", "a thesis\nof several lines\n", `{"level":"info","msg":"started"}` + "\n"} {
		file := filepath.Join(t.TempDir(), "thesis.txt")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"serve", "check-config"} {
			got := runBinary(t, env("UDP_PORT=0", "HTTP_ADDRESS=127.0.0.1:0", "LOG_FILE="+file), command)
			want := "state-gateway: VLLM_STATE_GATEWAY_LOG_FILE=" + file + ": " + file + " does not begin as a state log does: it is left alone\n"
			if got.code != 78 || !strings.HasSuffix(got.stderr, want) {
				t.Errorf("%s: %+v", command, got)
			}
		}
		if left, err := os.ReadFile(file); err != nil || string(left) != text {
			t.Errorf("%q, %v", left, err)
		}
		if after, err := os.Stat(file); err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("%v, %v", after, err)
		}
	}
}

// To the check before the start, /dev/stdout is not the gateway's but its own.
func TestCheckOfInheritedOutput(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(binary, "check-config")
	cmd.Env, cmd.Stdout = env("LOG_FILE=/dev/stdout"), out
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// SIGTERM in the middle of as much as can be sent: a clean stop, and each applied state is in the file.
func TestStopUnderFullLoad(t *testing.T) {
	p := startGateway(t)
	_, stop := p.startLoad(t, 0)
	p.awaitStats(t, "20,000 applied", func(s stats) bool { return s.Applied >= 20_000 })
	code, took := p.stop(t, syscall.SIGTERM)
	stop()
	s := p.final(t)
	if code != 0 || took > 10*time.Second {
		t.Errorf("exit code %d after %v: %s", code, took, p.said())
	}
	if lines := (logged{}).add(t, p.logFile); uint64(lines) != s.Logged || s.Logged+s.LogDropped != s.Applied {
		t.Errorf("%d lines, %+v", lines, s)
	}
}

// SIGHUP again and again under load, with a rename now and then: it is followed at once, and nothing is lost or said twice.
func TestHangups(t *testing.T) {
	p := startGateway(t)
	_, stop := p.startLoad(t, logRate()/4)
	p.awaitStats(t, "first lines", func(s stats) bool { return s.Logged > 0 })
	const renames = 3
	for n := range renames {
		if err := os.Rename(p.logFile, fmt.Sprintf("%s.%d", p.logFile, n)); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		deadline := time.Now().Add(20 * time.Second)
		for info, err := os.Stat(p.logFile); err != nil || info.Size() == 0; info, err = os.Stat(p.logFile) {
			if time.Now().After(deadline) {
				t.Fatalf("no new file: %s", p.said())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	s := p.awaitAccounted(t, stop())
	in, total := logged{}, 0
	for _, path := range p.siblings(t) {
		total += in.add(t, path)
	}
	if uint64(total) != s.Logged || s.Logged != s.Applied {
		t.Errorf("%d lines, %+v", total, s)
	}
	if n := strings.Count(p.said(), "going on in the new file"); n != renames {
		t.Errorf("said %d times", n)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Whatever the log does, each datagram is received and applied, and the account is exact; and SIGTERM ends it.
func TestIngestWithoutItsLog(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	stalled, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	for name, file := range map[string]string{
		"full disk":       "/dev/full",
		"no directory":    filepath.Join(t.TempDir(), "no", "file"),
		"stalled reader":  fifo,
		"bit bucket":      os.DevNull,
		"standard output": "/dev/stdout", // of a test's child: the null device
	} {
		p := startGateway(t, "LOG_FILE="+file)
		_, stop := p.startLoad(t, logRate()/4)
		time.Sleep(soak(5*time.Second, 500*time.Millisecond)) // of load
		sent := stop()
		s := p.awaitStats(t, name, func(s stats) bool { return s.TotalReceived+s.KernelDropped >= sent })
		if s.Applied != sent || s.KernelDropped != 0 {
			t.Errorf("%s: sent %d, %+v", name, sent, s)
		}
		code, took := p.stop(t, syscall.SIGTERM)
		if s := p.final(t); code != 0 || took > 10*time.Second || s.Applied != sent {
			t.Errorf("%s: exit code %d after %v, %+v: %s", name, code, took, s, p.said())
		}
		if n := strings.Count(p.said(), `"level":"ERROR"`); n > 2 { // at the beginning and, of what was lost, at the end
			t.Errorf("%s: %s", name, p.said())
		}
	}
}
