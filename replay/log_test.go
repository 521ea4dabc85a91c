package replay_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/replay"
)

// TestLogLines reads lines as the gateway, the first gateway and other tools write them, between two that are well.
func TestLogLines(t *testing.T) {
	const state = `{"engine_id": "a", "v": [1, {"}": "\"}"}], "v": 2}`
	at := time.Unix(1_755_532_567, 502_843_000)
	for name, c := range map[string]struct {
		line  string
		want  string // the reason, or the payload
		taken time.Time
	}{
		"this gateway's":            {`{"timestamp": 1755532567.502843, "state": ` + state + `}`, state, at},
		"the first gateway's":       {`{"timestamp": 1755532567.5028431, "state": ` + state + `}`, state, at.Add(100)},
		"few decimals":              {`{"timestamp": 1755532567.5, "state": {}}`, "{}", time.Unix(1_755_532_567, 5e8)},
		"no decimals":               {`{"timestamp": 1755532567, "state": {}}`, "{}", time.Unix(1_755_532_567, 0)},
		"more than nanoseconds":     {`{"timestamp": 1755532567.5028430019, "state": {}}`, "{}", at.Add(1)},
		"early":                     {`{"timestamp": 0.000001, "state": {}}`, "{}", time.Unix(0, 1000)},
		"an exponent":               {`{"timestamp": 1.7555325675e9, "state": {}}`, "{}", time.Unix(1_755_532_567, 5e8)},
		"compact":                   {`{"timestamp":1755532567.502843,"state":` + state + `}`, state, at},
		"the other way round":       {`{"state": ` + state + `, "timestamp": 1755532567.502843}`, state, at},
		"further fields":            {`{"host": {"a": [1]}, "timestamp": 1755532567.502843, "state": ` + state + `, "x": null}`, state, at},
		"a field behind":            {`{"timestamp": 1755532567.502843, "state": ` + state + `, "x": {"y": {}}}`, state, at},
		"white space":               {" \t{ \"timestamp\" : 1755532567.502843 , \"state\" : " + state + " } \t", state, at},
		"space behind the state":    {`{"timestamp": 1755532567.502843, "state": ` + state + "\t }", state, at},
		"Windows":                   {`{"timestamp": 1755532567.502843, "state": ` + state + "}\r", state, at},
		"an escaped name":           {`{"timestamp": 1755532567.502843, "st\u0061te": ` + state + `}`, state, at},
		"states that are no states": {`{"timestamp": 1755532567.502843, "state": {"test": "data"}}`, `{"test": "data"}`, at},

		"empty":                      {"", "not_a_log_line", time.Time{}},
		"a state alone":              {state, "not_a_log_line", time.Time{}},
		"not JSON":                   {"engine_1:5|c", "not_a_log_line", time.Time{}},
		"no object":                  {"[1]", "not_a_log_line", time.Time{}},
		"no timestamp":               {`{"state": {}}`, "not_a_log_line", time.Time{}},
		"no state":                   {`{"timestamp": 1}`, "not_a_log_line", time.Time{}},
		"two timestamps":             {`{"timestamp": 1, "timestamp": 2, "state": {}}`, "not_a_log_line", time.Time{}},
		"two states":                 {`{"timestamp": 1, "state": {}, "state": {}}`, "not_a_log_line", time.Time{}},
		"a state that is a string":   {`{"timestamp": 1, "state": "a"}`, "not_a_log_line", time.Time{}},
		"a timestamp as a string":    {`{"timestamp": "1", "state": {}}`, "not_a_log_line", time.Time{}},
		"a negative timestamp":       {`{"timestamp": -1.5, "state": {}}`, "not_a_log_line", time.Time{}},
		"a leading zero":             {`{"timestamp": 01, "state": {}}`, "not_a_log_line", time.Time{}},
		"a point and nothing":        {`{"timestamp": 1., "state": {}}`, "not_a_log_line", time.Time{}},
		"after 2262":                 {`{"timestamp": 9300000000, "state": {}}`, "not_a_log_line", time.Time{}},
		"milliseconds":               {`{"timestamp": 1755532567502.843, "state": {}}`, "not_a_log_line", time.Time{}},
		"infinite":                   {`{"timestamp": 1e999, "state": {}}`, "not_a_log_line", time.Time{}},
		"a brace too many":           {`{"timestamp": 1, "state": {}}}`, "not_a_log_line", time.Time{}},
		"a brace too few":            {`{"timestamp": 1, "state": {}`, "not_a_log_line", time.Time{}},
		"two lines in one":           {`{"timestamp": 1, "state": {}}{"timestamp": 1, "state": {}}`, "not_a_log_line", time.Time{}},
		"one torn by another":        {`{"timestamp": 1, "state": {"engine_id": "{"timestamp": 1, "state": {}}`, "not_a_log_line", time.Time{}},
		"zeros":                      {strings.Repeat("\x00", 4096), "not_a_log_line", time.Time{}},
		"invalid UTF-8":              {"{\"timestamp\": 1, \"state\": {\"a\": \"\xff\"}}", "not_a_log_line", time.Time{}},
		"deep":                       {`{"timestamp": 1, "state": {"a": ` + strings.Repeat("[", 60_000) + "}}", "not_a_log_line", time.Time{}},
		"longer than any datagram":   {`{"timestamp": 1, "state": {"a": "` + strings.Repeat("x", 65_507) + `"}}`, "line_too_long", time.Time{}},
		"much longer":                {`{"timestamp": 1, "state": {"a": "` + strings.Repeat("x", 3<<20) + `"}}`, "line_too_long", time.Time{}},
		"much longer, and no state":  {strings.Repeat("x", 3<<20), "line_too_long", time.Time{}},
		"as long as a datagram goes": {`{"timestamp": 1, "state": {"a": "` + strings.Repeat("x", 65_507-9) + `"}}`, `{"a": "` + strings.Repeat("x", 65_507-9) + `"}`, time.Unix(1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			const before, after = `{"timestamp": 1, "state": {"before": 1}}`, `{"timestamp":2,"state":{"after": 1}}`
			got := read(t, []byte(before+"\n"+c.line+"\n"+after+"\n"), 9999)
			want, skips := []string{`{"before": 1}`, c.want, `{"after": 1}`}, map[string]uint64{}
			if c.taken.IsZero() {
				want, skips = slices.Delete(want, 1, 2), map[string]uint64{c.want: 1}
			}
			if !slices.Equal(got.payloads(), want) || !maps.Equal(got.skips, skips) {
				t.Fatalf("%.200q, %v; want %.200q, %v", got.payloads(), got.skips, want, skips)
			}
			if d := got.datagrams[1]; !c.taken.IsZero() && (!d.Time.Equal(c.taken) || d.Source.IsValid() || d.Destination.IsValid()) {
				t.Errorf("%v from %v to %v; want %v", d.Time, d.Source, d.Destination, c.taken)
			}
		})
	}
}

// TestTornLine: the last line counts if it is whole, though its end is missing, and else as torn.
func TestTornLine(t *testing.T) {
	const line = `{"timestamp": 1, "state": {"a": 1}}`
	for n := 1; n < len(line); n++ {
		if got := read(t, []byte(line+"\n"+line[:n]), 0); len(got.datagrams) != 1 || !maps.Equal(got.skips, map[string]uint64{"torn_line": 1}) {
			t.Errorf("%q: %d, %v", line[:n], len(got.datagrams), got.skips)
		}
	}
	if got := read(t, []byte(line+"\n"+line), 0); len(got.datagrams) != 2 || len(got.skips) != 0 {
		t.Errorf("%d, %v", len(got.datagrams), got.skips)
	}
	if got := read(t, bytes.Repeat([]byte("x"), 1<<20), 0); !maps.Equal(got.skips, map[string]uint64{"line_too_long": 1}) {
		t.Errorf("%v", got.skips)
	}
}

// stateLog returns a log of n states of some engines, 200 ms apart, that begins at a time.
func stateLog(start time.Time, n int) []byte {
	var b []byte
	for i := range n {
		at := start.Add(time.Duration(i) * 200 * time.Millisecond)
		b = fmt.Appendf(b, `{"timestamp": %d.%06d, "state": {"engine_id": "http://172.17.0.%d:8000", "timestamp_ms": %d, "latency_pred_ms": 21.253122228102537, `+
			`"scheduling_mode": "latency_optimized", "pending_tokens_total": %d, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": -1, "engine_capacity": 59768.2749641796}}`+"\n",
			at.Unix(), at.Nanosecond()/1000, 3+i%5, at.UnixMilli()-7, i)
	}
	return b
}

// TestRecordedLog reads the recorded stream, and a generated log of its shape, and compares with encoding/json.
func TestRecordedLog(t *testing.T) {
	t.Run("generated", func(t *testing.T) { compareLog(t, stateLog(captured, 1000)) })
	t.Run("recorded", func(t *testing.T) {
		path := os.Getenv("STATE_TRACE")
		if path == "" {
			t.Skip("STATE_TRACE names no recorded stream; the generated one is of the same shape")
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(content, []byte("\n")); n != 295 {
			t.Errorf("the recorded stream has %d states, want 295", n)
		}
		compareLog(t, content)
	})
}

func compareLog(t *testing.T, content []byte) {
	got := read(t, content, 9999)
	if len(got.skips) != 0 {
		t.Error(got.skips)
	}
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); n++ {
		var want struct {
			Timestamp float64
			State     json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if n >= len(got.datagrams) || !bytes.Equal(got.datagrams[n].Payload, want.State) {
			t.Fatalf("line %d: want %s", n+1, want.State)
		}
		if off := float64(got.datagrams[n].Time.UnixNano())/1e9 - want.Timestamp; off > 1e-6 || off < -1e-6 {
			t.Errorf("line %d: %v, want %v", n+1, got.datagrams[n].Time, want.Timestamp)
		}
	}
	if n != len(got.datagrams) {
		t.Errorf("%d lines and %d datagrams", n, len(got.datagrams))
	}
}

// repeated is one piece of bytes again and again, as a long capture is.
type repeated struct {
	head, piece []byte
	times       int // negative: without end
	rest        []byte
}

func (r *repeated) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		r.rest, r.head = r.head, nil
	}
	if len(r.rest) == 0 {
		if r.times == 0 {
			return 0, io.EOF
		}
		r.times--
		r.rest = r.piece
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestReadingAllocations: reading takes no memory for a datagram.
func TestReadingAllocations(t *testing.T) {
	pcap := pcapFile(linkSLL2, sll2(1, 0, datagram4(payload), 0x0800), sll2(2, 0, datagram4(payload), 0x0800), sll2(1, 0, datagram6(payload), 0x86dd))
	ng := ngFile()
	start := bytes.Index(ng, []byte{0, 0, 0, 6})
	for name, from := range map[string]*repeated{
		"log":          {nil, stateLog(captured, 1000), 1000, nil},
		"log, compact": {nil, bytes.ReplaceAll(stateLog(captured, 1000), []byte(": "), []byte(":")), 1000, nil},
		"pcap":         {pcap[:24], pcap[24:], 1_000_000, nil},
		"pcapng":       {ng[:start], ng[start:], 1_000_000, nil},
	} {
		c, err := replay.Open([]string{"-"}, replay.ReadOptions{Stdin: from})
		if err != nil {
			t.Fatal(err)
		}
		next := func() {
			if _, err := c.Next(); err != nil {
				t.Fatal(err)
			}
		}
		next() // warm-up
		if n := testing.AllocsPerRun(1000, next); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestReadError: what the system cannot read is said, and what came before it stands.
func TestReadError(t *testing.T) {
	trouble := errors.New("input/output error")
	c, err := replay.Open([]string{"-"}, replay.ReadOptions{Stdin: io.MultiReader(bytes.NewReader(stateLog(captured, 3)), failing{trouble})})
	if err != nil {
		t.Fatal(err)
	}
	got := readAll(t, c)
	if len(got.datagrams) != 3 || !maps.Equal(got.skips, map[string]uint64{"read_error": 1}) || !errors.Is(got.breaks[0], trouble) {
		t.Errorf("%d, %v, %v", len(got.datagrams), got.skips, got.breaks)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
