package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// capture is the one of package replay's golden test, and the settings that go with it.
const capture = "../../replay/testdata/incident.pcapng.gz"

func incidentSettings() []string {
	return env("REMOVE_AFTER=10000", "MAX_DATAGRAM=1024", "MAX_ENGINES=9")
}

// offline runs replay with the incident as its last argument.
func offline(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	file, err := filepath.Abs(capture)
	if err != nil {
		t.Fatal(err)
	}
	return runBinary(t, environ, append(append([]string{"replay"}, args...), file)...)
}

// What is printed and logged is the same each time, on one processor and on two, and the log is that of the golden test.
func TestOfflineIsTheSameEachTime(t *testing.T) {
	dir := t.TempDir()
	var first result
	for run, processors := range []string{"1", "2", "2"} {
		log := filepath.Join(dir, fmt.Sprint(run, ".jsonl"))
		got := offline(t, append(incidentSettings(), "GOMAXPROCS="+processors), "--offline", "--log-file", log)
		if got.code != 0 || !strings.Contains(got.stdout, fmt.Sprintf("%-14s %12d\n", "logged", 450)) {
			t.Fatalf("%+v", got)
		}
		if run == 0 {
			first = got
		}
		if got.stdout != first.stdout {
			t.Errorf("run %d printed\n%s\nthe first one\n%s", run, got.stdout, first.stdout)
		}
		want, err := os.ReadFile("../../replay/testdata/incident.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(log); err != nil || !bytes.Equal(text, want) {
			t.Errorf("run %d: another log (%v)", run, err)
		}
	}
	damaged := []string{"--offline", "--engines=3", "--drop=10", "--duplicate=10", "--reorder=10", "--shuffle-seed=7"}
	if one, two := offline(t, env("MAX_ENGINES=100"), damaged...), offline(t, env("MAX_ENGINES=100"), damaged...); one.code != 0 || one.stdout != two.stdout ||
		one.stdout == first.stdout {
		t.Errorf("damaged\n%+v\nand\n%+v", one, two)
	}
	summary := offline(t, incidentSettings(), "--summary")
	if again := offline(t, incidentSettings(), "--summary"); again != summary || summary.code != 0 {
		t.Errorf("summaries\n%+v\n%+v", summary, again)
	}
}

// The log is written to a new file only: neither over the capture, nor into a running gateway's, nor unasked.
func TestOfflineLogFile(t *testing.T) {
	p := startGateway(t)
	p.send(t, guideDatagram)
	p.awaitAccounted(t, 1)
	for what, test := range map[string]struct {
		environ []string
		args    []string
	}{
		"the capture is the log":  {env("LOG_FILE=" + p.logFile), []string{"--offline", p.logFile}},
		"the flag names the log":  {nil, []string{"--offline", "--log-file", p.logFile, p.logFile}},
		"with --states-at, too":   {nil, []string{"--states-at", "1s", "--log-file", p.logFile, p.logFile}},
		"a device is no new file": {nil, []string{"--offline", "--log-file", os.DevNull, p.logFile}},
		"there is no such folder": {nil, []string{"--offline", "--log-file", p.logFile + "/x", p.logFile}},
	} {
		got := runBinary(t, test.environ, append([]string{"replay"}, test.args...)...)
		if got.code != 69 || got.stdout != "" || !strings.Contains(got.stderr, "VLLM_STATE_GATEWAY_LOG_FILE=") || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	for what, test := range map[string]struct {
		environ []string
		args    []string
	}{
		"nobody asks for a log": {nil, nil},
		"the log is off":        {env("LOG_FILE="+p.logFile, "ENABLE_LOG=no"), nil},
	} {
		if got := runBinary(t, test.environ, append([]string{"replay", "--offline"}, append(test.args, p.logFile)...)...); got.code != 0 || strings.Contains(got.stdout, "logged") {
			t.Errorf("%s: %+v", what, got)
		}
	}
	// A run that fails leaves no log in the way of the next one.
	log := filepath.Join(t.TempDir(), "log.jsonl")
	for _, args := range [][]string{{"--states-at=2001-01-01T00:00:00Z", p.logFile}, {"--offline", os.DevNull}} {
		got := runBinary(t, nil, append([]string{"replay", "--log-file", log}, args...)...)
		if _, err := os.Stat(log); got.code != 1 || !os.IsNotExist(err) {
			t.Errorf("%q: %v, %+v", args, err, got)
		}
	}
	if lines := p.readLog(t); len(lines) != 1 {
		t.Errorf("the running gateway's log has %d lines", len(lines))
	}
	p.send(t, strings.Replace(guideDatagram, "test", "another", 1))
	if s := p.awaitAccounted(t, 2); s.Logged != 2 || len(p.readLog(t)) != 2 {
		t.Errorf("the gateway does not log on: %+v", s)
	}
}

// --states-at prints what the HTTP answer would have been, and nothing else on standard output.
func TestStatesAt(t *testing.T) {
	states := func(at string, settings ...string) map[string]state.State {
		t.Helper()
		got := offline(t, append(incidentSettings(), settings...), "--states-at="+at)
		var m map[string]struct {
			EngineID  string  `json:"engine_id"`
			Timestamp int64   `json:"timestamp_ms"`
			Capacity  float64 `json:"engine_capacity"`
		}
		if err := json.Unmarshal([]byte(got.stdout), &m); err != nil || got.code != 0 {
			t.Fatalf("%s: %v: %+v", at, err, got)
		}
		states := map[string]state.State{}
		for id, s := range m {
			states[id] = state.State{EngineID: s.EngineID, TimestampMs: s.Timestamp, EngineCapacity: s.Capacity}
		}
		return states
	}
	const rests = "http://10.0.0.1:rests" // without work from 8 s to 17 s, and beating
	first, idle := states("2s"), states("12s")
	if len(first) != 9 || idle[rests].EngineCapacity == 0 || idle[rests].EngineCapacity != first[rests].EngineCapacity {
		t.Errorf("after 2 s %v, after 12 s %v", first, idle)
	}
	if s := states("12s", "VLLM_STATE_GATEWAY_HEARTBEAT_MERGE=false"); s[rests].EngineCapacity != 0 {
		t.Errorf("without the merge of heartbeats %v", s)
	}
	for _, same := range []string{"2025-08-18T15:56:19.497274Z", "2025-08-18T17:56:19.497274+02:00", "1755532579.497274"} {
		if s := states(same); !reflect.DeepEqual(s, idle) {
			t.Errorf("at %s %v, want %v", same, s, idle)
		}
	}
	if got := offline(t, incidentSettings(), "--start=11s", "--states-at=12s"); !strings.Contains(got.stdout, ":steady") || strings.Contains(got.stdout, ":gone") || got.stderr != "" {
		t.Errorf("with --start: %+v", got)
	}
	if end := states("end"); len(end) != 9 || !reflect.DeepEqual(end, states("29.903132s")) {
		t.Errorf("at the end %v", end)
	}
	for at, test := range map[string]struct {
		code int
		says string
	}{
		"2025-08-18T15:56:07Z": {1, "is before the capture, which begins at 2025-08-18T15:56:07.497274Z"},
		"30":                   {1, "an offset has a unit"},
		"soon":                 {64, "--states-at: must be end, a duration"},
	} {
		if got := offline(t, nil, "--states-at="+at); got.code != test.code || got.stdout != "" || !strings.Contains(got.stderr, test.says) {
			t.Errorf("at %s: %+v", at, got)
		}
	}
	if got := offline(t, nil, "--states-at=1h"); got.code != 0 || got.stdout != "{}\n" || !strings.Contains(got.stderr, "59m30.096868s after the last datagram") {
		t.Errorf("long after the end: %+v", got)
	}
}

// The summary names what is wrong, engine by engine, the worst first.
func TestReplaySummary(t *testing.T) {
	got := offline(t, incidentSettings(), "--summary")
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("%+v", got)
	}
	rows := map[string][]string{}
	_, table, _ := strings.Cut(got.stdout, "\n\n")
	for line := range strings.Lines(table) {
		cells := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1)
		rows[cells[0]] = cells[1:]
	}
	for engine, want := range map[string]string{
		"engine":                      "at the end|states|interval|gaps|longest silence|duplicate|out of order|clock reset|heartbeats|conflicts|clock skew",
		"shared":                      "stale|6|300 ms|1|8405 ms|0|0|0|0|1|0 ms",
		"http://10.0.0.1:gone":        "removed|22|504 ms|1|21072 ms|0|0|0|5|0|1 ms",
		"http://10.0.0.1:clock-back":  "fresh|72|503 ms|0|1018 ms|0|2|1|14|0|0 … 3 ms",
		"http://10.0.0.1:beats":       "initializing|15|-|0|2007 ms|0|0|0|15|0|0 … 6 ms",
		"http://10.0.0.1:clock-forth": "fresh|74|503 ms|0|513 ms|0|0|0|15|0|-3600000 … 10 ms",
	} {
		if got := strings.Join(rows[engine], "|"); got != want {
			t.Errorf("%s: %s, want %s", engine, got, want)
		}
	}
	for _, want := range []string{
		"29.903132s captured from 2025-08-18T15:56:07.497274Z to 2025-08-18T15:56:37.400406Z",
		"528: other_port 528\n",
		"18: duplicate_field 2, empty 2, engine_limit 2, json 4, missing_field 2, range 2, too_large 2, type 2\n",
		"/s, at most 31 in one second\n",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	if got := offline(t, nil, "--summary", "--engines=3"); strings.Count(got.stdout[strings.Index(got.stdout, "engine  "):], "\n") != 1+listedEngines+1 ||
		!strings.HasSuffix(got.stdout, "\nand 19 more, with no more trouble than these\n") {
		t.Errorf("of many engines: %+v", got)
	}
	if got := runBinary(t, nil, "replay", "--summary", "/dev/null"); got.code != 1 || !strings.Contains(got.stderr, "there is no datagram in it") {
		t.Errorf("an empty capture: %+v", got)
	}
}

// A signal ends a run that waits for a pipe.
func TestOfflineIsInterrupted(t *testing.T) {
	for _, mode := range []string{"--offline", "--summary"} {
		cmd := exec.Command(binary, "replay", mode, "-")
		cmd.Env = []string{}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// More than the pipe and the reader's buffer hold: when it is written, the capture is being read.
		if err := writeFleet(stdin, 20, 1000, 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "received terminated") {
			t.Errorf("%s: exit code %d, %s", mode, code, &stderr)
		}
	}
}

// A day of captured states through standard input: all of them applied, in memory that does not grow with the capture.
func TestOfflineDay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what memory a process took at most is read from Linux's /proc")
	}
	day := soak(24*time.Hour, 20*time.Minute)
	least := offlineFleet(t, day/24)
	most := offlineFleet(t, day)
	t.Logf("most memory: %d KiB for %v of capture, %d KiB for %v", least>>10, day/24, most>>10, day)
	const growth, bound = 8 << 20, 64 << 20 // it takes 16 MiB; the rest is the collector's freedom
	if most > least+growth || most > bound && !raceEnabled {
		t.Errorf("%d bytes of memory for %v of capture, %d for %v", most, day, least, day/24)
	}
}

// offlineFleet runs states of 20 engines that push every 200 ms for the given time through standard input, offline, and
// returns the most memory that this took.
func offlineFleet(t *testing.T, length time.Duration) (memory int) {
	t.Helper()
	const engines, interval = 20, 200 * time.Millisecond
	pushes := int(length / interval)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "replay", "--offline", "-")
	cmd.Env, cmd.Dir = []string{}, t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := writeFleet(stdin, engines, pushes, interval); err != nil {
		t.Errorf("writing: %v", err)
	}
	// The states are read by now, but for what the pipe holds, and the process waits for the end of them. What wait4 says
	// of its memory would not be its own: a child begins with its parent's, until it executes another program.
	memory = memoryOf(t, cmd.Process.Pid, "VmHWM")
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	states := engines * pushes
	t.Logf("%d states: %s", states, strings.TrimSpace(stderr.String()))
	for _, want := range []string{
		fmt.Sprintf("%-14s %12d\n", "read", states),
		fmt.Sprintf("%-14s %12d\n", "skipped", 0),
		fmt.Sprintf("%-14s %12d, ", "received", states),
		fmt.Sprintf("%-14s %12d\n", "applied", states),
		fmt.Sprintf("%-14s %12d: %d fresh\n", "engines", engines, engines),
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no line %q in\n%s", want, &stdout)
		}
	}
	return memory
}

// writeFleet writes the states of a fleet as a state log has them: each engine's pushes shifted against the others'.
func writeFleet(w io.Writer, engines, pushes int, interval time.Duration) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var agents []*traffic.Agent
	for i := range engines {
		agents = append(agents, traffic.NewAgent(fmt.Sprintf("http://10.0.0.%d:8000", i), uint64(i)))
	}
	var line []byte
	for n := range engines * pushes {
		at := time.UnixMilli(1_755_532_567_495).Add(interval / time.Duration(engines) * time.Duration(n))
		s := agents[n%engines].Next(at)
		line = fmt.Appendf(line[:0], `{"timestamp": %d.%06d, "state": `, at.Unix(), at.Nanosecond()/1000)
		line = append(s.AppendJSON(line), "}\n"...)
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}
