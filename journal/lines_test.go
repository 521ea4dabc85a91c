package journal

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// arrival is a moment with six decimals that are all needed.
var arrival = time.Unix(1755532567, 502843999)

// numbered returns a state that is told by its number, and its text on the wire.
func numbered(sender, n int) (state.State, []byte) {
	s := state.State{
		EngineID:           fmt.Sprint("http://10.0.0.", sender, ":8000"),
		TimestampMs:        int64(n),
		LatencyPredMs:      float64(n) + 0.5,
		SchedulingMode:     "latency_optimized",
		KVCacheFreeBlocks:  state.Unknown,
		KVCacheTotalBlocks: state.Unknown,
		EngineCapacity:     59768.2749641796,
	}
	return s, s.AppendJSON(nil)
}

// parse returns the sender and the number of a line of a numbered state; ok is false if it is not just that.
func parse(line string) (sender, n int, ok bool) {
	_, rest, _ := strings.Cut(line, `"http://10.0.0.`)
	digits, rest, _ := strings.Cut(rest, `:8000", "timestamp_ms": `)
	sender, err := strconv.Atoi(digits)
	if err != nil {
		return 0, 0, false
	}
	digits, _, _ = strings.Cut(rest, ",")
	if n, err = strconv.Atoi(digits); err != nil {
		return 0, 0, false
	}
	_, text := numbered(sender, n)
	head, found := strings.CutSuffix(line, `, "state": `+string(text)+"}")
	stamp, prefix := strings.CutPrefix(head, `{"timestamp": `)
	_, err = strconv.ParseFloat(stamp, 64)
	return sender, n, found && prefix && err == nil && strings.IndexByte(stamp, '.') == len(stamp)-7
}

// harness is a journal of a file of the test's own.
type harness struct {
	*Journal
	t        *testing.T
	path     string
	messages messages
}

// messages is what a journal said: the writer and its helpers say it, the test reads it.
type messages struct {
	mu   sync.Mutex
	text []byte
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = append(m.text, p...)
	return len(p), nil
}

func (m *messages) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.text)
}

func newHarness(t *testing.T, appenders int) *harness {
	t.Helper()
	return newHarnessAt(t, appenders, filepath.Join(t.TempDir(), "states.jsonl"))
}

func newHarnessAt(t *testing.T, appenders int, path string) *harness {
	t.Helper()
	return newHarnessOf(t, Config{Path: path, Appenders: appenders})
}

func newHarnessOf(t *testing.T, cfg Config) *harness {
	t.Helper()
	h := &harness{t: t, path: cfg.Path}
	cfg.Log = slog.New(slog.NewTextHandler(&h.messages, nil))
	var err error
	if h.Journal, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

// put appends numbered states [from, to) to an appender, in one batch.
func (h *harness) put(appender int, at time.Time, from, to int) {
	a := h.Appender(appender)
	a.Begin(at.UnixNano())
	for n := from; n < to; n++ {
		s, text := numbered(appender, n)
		a.Append(at.UnixNano(), &s, text)
	}
	a.Commit()
}

// lines returns the file's lines, which must all be whole.
func (h *harness) lines() []string {
	h.t.Helper()
	content, err := os.ReadFile(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.split(content)
}

func (h *harness) split(content []byte) []string {
	h.t.Helper()
	if len(content) == 0 {
		return nil
	}
	if content[len(content)-1] != '\n' {
		h.t.Fatalf("the last line is torn: %q", content[bytes.LastIndexByte(content, '\n')+1:])
	}
	return strings.Split(string(content[:len(content)-1]), "\n")
}

// numbers checks that every line is that of a numbered state and that each appender's are in order, and returns the
// numbers by appender.
func (h *harness) numbers(lines []string) map[int][]int {
	h.t.Helper()
	by := map[int][]int{}
	for i, line := range lines {
		sender, n, ok := parse(line)
		if !ok {
			h.t.Fatalf("line %d is not what was appended: %q", i, line)
		}
		if had := by[sender]; len(had) > 0 && had[len(had)-1] >= n {
			h.t.Fatalf("line %d: number %d of appender %d after %d", i, n, sender, had[len(had)-1])
		}
		by[sender] = append(by[sender], n)
	}
	return by
}

// account checks the counters against what was appended, what is in the file, and their identity.
func (h *harness) account(appended uint64, content string) Counters {
	h.t.Helper()
	c := h.Counters()
	if c.Written+c.DroppedError+c.DroppedSpace+c.DroppedRing+c.Queued != appended {
		h.t.Errorf("%d appended, but %+v", appended, c)
	}
	if lines := strings.Count(content, "\n"); c.Written != uint64(lines) || c.Bytes != uint64(len(content)) {
		h.t.Errorf("%d lines and %d bytes in the file, but %+v", lines, len(content), c)
	}
	return c
}

func (h *harness) content() string {
	h.t.Helper()
	content, err := os.ReadFile(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(content)
}

func TestLineVerbatimAndRendered(t *testing.T) {
	const wire = `{"engine_id": "http://172.17.0.3:8000", "timestamp_ms": 1755532567495, "latency_pred_ms": 21.253122228102537, ` +
		`"scheduling_mode": "latency_optimized", "pending_tokens_total": 0, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": -1, ` +
		`"engine_capacity": 59768.2749641796}`
	recorded := state.State{
		EngineID: "http://172.17.0.3:8000", TimestampMs: 1755532567495, LatencyPredMs: 21.253122228102537, SchedulingMode: "latency_optimized",
		KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1, EngineCapacity: 59768.2749641796,
	}
	compact := strings.ReplaceAll(strings.ReplaceAll(wire, ": ", ":"), ", ", ",")
	whole := recorded
	whole.EngineID, whole.LatencyPredMs, whole.EngineCapacity = `a "quoted\ id"`, 21, 3e-5

	h := newHarness(t, 1)
	a := h.Appender(0)
	a.Begin(arrival.UnixNano())
	a.Append(arrival.UnixNano(), &recorded, nil)
	a.Append(arrival.UnixNano(), &recorded, []byte(wire))
	a.Append(arrival.UnixNano(), &recorded, []byte(compact))
	a.Append(arrival.UnixNano(), &whole, nil)
	a.Commit()
	h.drain()

	const head = `{"timestamp": 1755532567.502843, "state": `
	want := head + wire + "}\n" + head + wire + "}\n" + head + compact + "}\n" +
		head + `{"engine_id": "a \"quoted\\ id\"", "timestamp_ms": 1755532567495, "latency_pred_ms": 21.0, ` +
		`"scheduling_mode": "latency_optimized", "pending_tokens_total": 0, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": -1, ` +
		`"engine_capacity": 3e-05}` + "}\n"
	if got := h.content(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	h.account(4, want)
}

func TestTimestampHasSixDecimals(t *testing.T) {
	h := newHarness(t, 1)
	a := h.Appender(0)
	s, text := numbered(0, 0)
	want := ""
	for _, c := range []struct {
		at    time.Time
		stamp string
	}{
		{time.Unix(0, 0), "0.000000"},
		{time.Unix(-3, 5_000_000), "0.000000"}, // JSON has no number for what integer division makes of it
		{time.Unix(1, 1_000), "1.000001"},
		{time.Unix(1755532567, 0), "1755532567.000000"},
		{time.Unix(1755532567, 999), "1755532567.000000"},
		{time.Unix(1755532567, 50_000_000), "1755532567.050000"},
		{time.Unix(1755532567, 502_843_000), "1755532567.502843"},
		{time.Unix(1755532567, 999_999_999), "1755532567.999999"}, // cut, not rounded: it has not been the next second yet
		{time.Unix(9_223_372_035, 120_000_000).UTC(), "9223372035.120000"},
	} {
		a.Begin(c.at.UnixNano())
		a.Append(c.at.UnixNano(), &s, text)
		a.Commit()
		want += `{"timestamp": ` + c.stamp + `, "state": ` + string(text) + "}\n"
	}
	h.drain()
	if got := h.content(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestLongVerbatimIsRendered: a datagram that is mostly white space is not copied.
func TestLongVerbatimIsRendered(t *testing.T) {
	s, text := numbered(0, 7)
	padded := func(size int) []byte {
		return append(append([]byte("{"), bytes.Repeat([]byte(" "), size-len(text))...), text[1:]...)
	}
	h := newHarness(t, 1)
	a := h.Appender(0)
	a.Begin(arrival.UnixNano())
	a.Append(arrival.UnixNano(), &s, padded(maxVerbatim))
	a.Append(arrival.UnixNano(), &s, padded(maxVerbatim+1))
	a.Append(arrival.UnixNano(), &s, padded(4096))
	a.Commit()
	h.drain()
	head := `{"timestamp": 1755532567.502843, "state": `
	want := head + string(padded(maxVerbatim)) + "}\n" + strings.Repeat(head+string(text)+"}\n", 2)
	if got := h.content(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestVerbatimIsCopied: the caller's buffer is filled again before the writer comes.
func TestVerbatimIsCopied(t *testing.T) {
	h := newHarness(t, 1)
	s, text := numbered(0, 7)
	buffer := bytes.Clone(text)
	a := h.Appender(0)
	a.Begin(arrival.UnixNano())
	a.Append(arrival.UnixNano(), &s, buffer)
	a.Commit()
	clear(buffer)
	h.drain()
	h.numbers(h.lines())
}

// TestLineSizes holds the constants of this package to the lines that the protocol allows.
func TestLineSizes(t *testing.T) {
	h := newHarness(t, 1)
	a := h.Appender(0)
	longest := state.State{
		EngineID: strings.Repeat(`"`, state.MaxEngineIDLength), SchedulingMode: strings.Repeat(`\`, state.MaxModeLength),
		TimestampMs: state.MaxInteger, PendingTokensTotal: state.MaxInteger, KVCacheFreeBlocks: state.MaxInteger,
		KVCacheTotalBlocks: state.MaxInteger, LatencyPredMs: 2.2250738585072014e-308, EngineCapacity: 2.2250738585072014e-308,
	}
	a.Begin(math.MaxInt64)
	a.Append(math.MaxInt64, &longest, nil)
	a.Commit()
	h.drain()
	if n := len(h.content()); n > maxLine {
		t.Errorf("a rendered line of %d bytes; maxLine is %d", n, maxLine)
	}

	shortest := []byte(`{"engine_id":"a","timestamp_ms":0,"latency_pred_ms":0,"scheduling_mode":"b","pending_tokens_total":0,` +
		`"kv_cache_free_blocks":0,"kv_cache_total_blocks":0,"engine_capacity":0}`)
	a.Begin(arrival.UnixNano())
	before := a.used
	a.Append(arrival.UnixNano(), &longest, shortest)
	if n := a.used - before; chunksPerSegment < segmentSize/n {
		t.Errorf("a line of %d bytes: %d fill a segment, which has %d chunks", n, segmentSize/n, chunksPerSegment)
	}
	a.Commit()
}
