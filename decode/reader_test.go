package decode_test

import (
	"bytes"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// reader reads datagrams by section 1 of the protocol, slowly and plainly. It is what package decode must agree with,
// and shares neither code nor parser with it: the grammar is jsontext's, the rest is written here from the protocol.
type reader struct {
	decoder *jsontext.Decoder
	input   bytes.Buffer
}

// reading is what a reader makes of a datagram; state and extra are only set when reason is state.Accepted.
type reading struct {
	state  state.State
	extra  bool // there are other names than the eight
	reason state.Reason
}

// sent is the value of a field as it came: its kind, and its decoded string or its number's raw text.
type sent struct {
	kind jsontext.Kind
	text string
}

var theEight = []string{
	"engine_id", "timestamp_ms", "latency_pred_ms", "scheduling_mode",
	"pending_tokens_total", "kv_cache_free_blocks", "kv_cache_total_blocks", "engine_capacity",
}

func newReader() *reader {
	r := &reader{}
	r.decoder = jsontext.NewDecoder(&r.input)
	return r
}

func (r *reader) read(payload []byte) reading {
	if len(payload) == 0 {
		return reading{reason: state.Empty}
	}
	members, ok := r.members(payload)
	if !ok {
		return reading{reason: state.JSON}
	}
	for _, name := range theEight {
		if len(members[name]) > 1 {
			return reading{reason: state.DuplicateField}
		}
	}
	for _, name := range theEight {
		if len(members[name]) == 0 {
			return reading{reason: state.MissingField}
		}
	}
	var faults [state.Reasons]bool
	got := reading{extra: len(members) > len(theEight)}
	note := func(reason state.Reason) { faults[reason] = true }
	str := func(name string, most int) string {
		v, reason := strictString(members[name][0], most)
		note(reason)
		return v
	}
	integer := func(name string, least int64) int64 {
		v, reason := strictInteger(members[name][0], least)
		note(reason)
		return v
	}
	number := func(name string) float64 {
		v, reason := strictNumber(members[name][0])
		note(reason)
		return v
	}
	got.state = state.State{
		EngineID:           str("engine_id", 256),
		TimestampMs:        integer("timestamp_ms", 0),
		LatencyPredMs:      number("latency_pred_ms"),
		SchedulingMode:     str("scheduling_mode", 64),
		PendingTokensTotal: integer("pending_tokens_total", 0),
		KVCacheFreeBlocks:  integer("kv_cache_free_blocks", -1),
		KVCacheTotalBlocks: integer("kv_cache_total_blocks", -1),
		EngineCapacity:     number("engine_capacity"),
	}
	switch {
	case faults[state.Type]:
		return reading{reason: state.Type}
	case faults[state.Range]:
		return reading{reason: state.Range}
	}
	return got
}

// members returns the members of the one object that payload is, by their decoded names; ok is false if it is not just
// that, or not valid JSON, or has a value deeper than level 300, the object being level 1.
func (r *reader) members(payload []byte) (members map[string][]sent, ok bool) {
	r.input.Reset()
	r.input.Write(payload)
	r.decoder.Reset(&r.input, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(false))
	d := r.decoder
	if d.PeekKind() != '{' {
		return nil, false
	}
	members = map[string][]sent{}
	var name string
	for {
		token, err := d.ReadToken()
		if err != nil {
			return nil, false
		}
		kind, depth := token.Kind(), d.StackDepth()
		switch kind {
		case '}', ']':
			if depth == 0 {
				_, err := d.ReadToken()
				return members, err == io.EOF
			}
			continue
		case '{', '[': // depth includes it
		default:
			in, count := d.StackIndex(depth)
			if in == '{' && count%2 == 1 { // a name
				if depth == 1 {
					name = token.String()
				}
				continue
			}
			depth++
		}
		if depth > 300 {
			return nil, false
		}
		if depth == 2 {
			members[name] = append(members[name], sent{kind, token.String()})
		}
	}
}

func strictString(v sent, most int) (string, state.Reason) {
	if v.kind != '"' {
		return "", state.Type
	}
	if len(v.text) < 1 || len(v.text) > most || !utf8.ValidString(v.text) {
		return "", state.Range
	}
	for _, r := range v.text {
		if r <= 0x1F || r >= 0x7F && r <= 0x9F {
			return "", state.Range
		}
	}
	return v.text, state.Accepted
}

func strictInteger(v sent, least int64) (int64, state.Reason) {
	if v.kind != '0' || strings.ContainsAny(v.text, ".eE") {
		return 0, state.Type
	}
	n, ok := new(big.Int).SetString(v.text, 10)
	if !ok {
		return 0, state.JSON
	}
	if n.Cmp(big.NewInt(least)) < 0 || n.Cmp(big.NewInt(9007199254740992)) > 0 {
		return 0, state.Range
	}
	return n.Int64(), state.Accepted
}

func strictNumber(v sent) (float64, state.Reason) {
	if v.kind != '0' {
		return 0, state.Type
	}
	f, err := strconv.ParseFloat(v.text, 64)
	ok := err == nil
	if len(v.text) > 800 {
		f, ok = exactFloat(v.text)
	}
	if !ok || f < 0 {
		return 0, state.Range
	}
	return f, state.Accepted
}

// sameBits reports whether two states are the same to the last bit, so that -0 differs from 0.
func sameBits(a, b state.State) bool {
	if math.Float64bits(a.LatencyPredMs) != math.Float64bits(b.LatencyPredMs) ||
		math.Float64bits(a.EngineCapacity) != math.Float64bits(b.EngineCapacity) {
		return false
	}
	return a == b
}

// comparison holds a decoder against a reader. The decoder is used again and again, as in the gateway.
type comparison struct {
	reader  *reader
	decoder *decode.Decoder
	input   []byte
}

func newComparison() *comparison { return &comparison{reader: newReader(), decoder: decode.New()} }

// check decodes payload and fails the test at any difference from what the reader reads.
func (c *comparison) check(t testing.TB, payload []byte) reading {
	t.Helper()
	want := c.reader.read(payload)
	c.input = append(c.input[:0], payload...)
	var got state.State
	switch reason := c.decoder.Decode(payload, &got); {
	case reason != want.reason:
		t.Fatalf("%q:\ngot  %v\nwant %v", c.input, reason, want.reason)
	case reason == state.Accepted && !sameBits(got, want.state):
		t.Fatalf("%q:\ngot  %+v\nwant %+v", c.input, got, want.state)
	case !bytes.Equal(payload, c.input):
		t.Fatalf("%q: changed to %q", c.input, payload)
	}
	c.checkVerbatim(t, payload, c.decoder.Verbatim(), want)
	return want
}

// checkVerbatim checks line, which Verbatim returned after payload was decoded.
func (c *comparison) checkVerbatim(t testing.TB, payload, line []byte, want reading) {
	t.Helper()
	trimmed := bytes.Trim(payload, " \t\r\n")
	if want.reason != state.Accepted || bytes.ContainsAny(trimmed, "\t\r\n") {
		if line != nil {
			t.Fatalf("%q (%v): verbatim %q", payload, want.reason, line)
		}
		return
	}
	switch {
	case bytes.ContainsAny(line, "\t\r\n"):
		t.Fatalf("%q: verbatim %q has tabs or lines", payload, line)
	case !want.extra && !bytes.Equal(line, trimmed):
		t.Fatalf("%q: verbatim %q", payload, line)
	case !want.extra && (&line[0] != &trimmed[0] || cap(line) != len(line)):
		t.Fatalf("%q: verbatim is not the datagram's own bytes, or can be appended to", payload)
	}
	again := c.reader.read(line)
	if again.reason != state.Accepted || again.extra || !sameBits(again.state, want.state) {
		t.Fatalf("%q: verbatim %q is read as %+v", payload, line, again)
	}
	if !want.extra {
		return
	}
	sent, _ := c.reader.members(payload)
	copied, _ := c.reader.members(line)
	for _, name := range theEight {
		if !slices.Equal(copied[name], sent[name]) {
			t.Fatalf("%q: verbatim %q has another %s", payload, line, name)
		}
	}
}
