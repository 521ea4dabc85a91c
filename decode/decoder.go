package decode

import (
	"math"
	"strconv"
	"unsafe"

	"github.com/valyala/fastjson"

	"github.com/elrar/state-gateway/state"
)

// field is the position of one of the eight names in the wire's order.
type field int

const (
	engineID field = iota
	timestampMs
	latencyPredMs
	schedulingMode
	pendingTokensTotal
	kvCacheFreeBlocks
	kvCacheTotalBlocks
	engineCapacity
	fields
)

// fieldOf returns the field of a name; ok is false for any other name.
func fieldOf(name []byte) (f field, ok bool) {
	switch string(name) {
	case "engine_id":
		return engineID, true
	case "timestamp_ms":
		return timestampMs, true
	case "latency_pred_ms":
		return latencyPredMs, true
	case "scheduling_mode":
		return schedulingMode, true
	case "pending_tokens_total":
		return pendingTokensTotal, true
	case "kv_cache_free_blocks":
		return kvCacheFreeBlocks, true
	case "kv_cache_total_blocks":
		return kvCacheTotalBlocks, true
	case "engine_capacity":
		return engineCapacity, true
	}
	return 0, false
}

// Decoder decodes datagrams. Its zero value is not ready for use: see New.
type Decoder struct {
	parser  fastjson.Parser
	visit   func(key []byte, v *fastjson.Value) // bound once
	values  [fields]*fastjson.Value
	twice   bool // one of the eight names came twice
	extra   bool // there were other names
	scratch []byte

	verbatim []byte
}

// New returns a decoder.
func New() *Decoder {
	d := &Decoder{}
	d.visit = d.collect
	return d
}

// keepParser is the size in bytes of the largest datagram after which the parser is kept. It never gives memory back
// and its values grow one by one: datagrams of n bytes, each shaped to grow another value's array or table, make it hold
// up to 3.3n² bytes, 3.3 MiB at this size but gigabytes at the largest. Real datagrams have 270 bytes.
const keepParser = 1024

// Decode decodes one datagram into s and returns state.Accepted; or returns the reason for refusing it, with s then
// undefined. Of several faults the first in state.Reason's order counts. The strings of s alias payload or the
// decoder's own memory: they are valid until the caller changes the one or calls Decode again.
func (d *Decoder) Decode(payload []byte, s *state.State) state.Reason {
	if line, ok := usual(payload, s); ok {
		d.verbatim = line
		return state.Accepted
	}
	return d.general(payload, s)
}

// general decodes any datagram.
func (d *Decoder) general(payload []byte, s *state.State) state.Reason {
	d.verbatim = nil
	if len(payload) == 0 {
		return state.Empty
	}
	if !valid(payload) {
		return state.JSON
	}
	if len(payload) > keepParser {
		d.parser = fastjson.Parser{}
		defer func() { d.parser = fastjson.Parser{} }()
	}
	v, err := d.parser.ParseBytes(payload)
	if err != nil {
		return state.JSON
	}
	object, err := v.Object()
	if err != nil {
		return state.JSON
	}
	d.values, d.twice, d.extra = [fields]*fastjson.Value{}, false, false
	object.Visit(d.visit)
	if reason := d.fill(s); reason != state.Accepted {
		return reason
	}
	if !d.extra {
		d.verbatim = oneLine(payload)
	}
	return state.Accepted
}

// Verbatim returns the last accepted datagram's own bytes without surrounding white space, if they can stand as they
// are in a line of JSON: exactly the eight fields, and no tab or line break. Otherwise it returns nil. The bytes are
// those that Decode was given.
func (d *Decoder) Verbatim() []byte { return d.verbatim }

func (d *Decoder) collect(key []byte, v *fastjson.Value) {
	switch f, ok := fieldOf(key); {
	case !ok:
		d.extra = true
	case d.values[f] != nil:
		d.twice = true
	default:
		d.values[f] = v
	}
}

// fill makes a state of the collected values.
func (d *Decoder) fill(s *state.State) state.Reason {
	if d.twice {
		return state.DuplicateField
	}
	for _, v := range d.values {
		if v == nil {
			return state.MissingField
		}
	}
	var c checks
	s.EngineID = c.text(d.values[engineID], state.MaxEngineIDLength)
	s.TimestampMs = c.integer(d, timestampMs, 0)
	s.LatencyPredMs = c.number(d, latencyPredMs)
	s.SchedulingMode = c.text(d.values[schedulingMode], state.MaxModeLength)
	s.PendingTokensTotal = c.integer(d, pendingTokensTotal, 0)
	s.KVCacheFreeBlocks = c.integer(d, kvCacheFreeBlocks, state.Unknown)
	s.KVCacheTotalBlocks = c.integer(d, kvCacheTotalBlocks, state.Unknown)
	s.EngineCapacity = c.number(d, engineCapacity)
	switch {
	case c.badType:
		return state.Type
	case c.badRange:
		return state.Range
	}
	return state.Accepted
}

// checks notes what is wrong with any of the fields, since a wrong type anywhere counts before a range.
type checks struct{ badType, badRange bool }

func (c *checks) text(v *fastjson.Value, limit int) string {
	if v.Type() != fastjson.TypeString {
		c.badType = true
		return ""
	}
	b, _ := v.StringBytes()
	if !inRangeText(b, limit) {
		c.badRange = true
	}
	return aliasString(b)
}

// raw returns the text of a number as it was sent; ok is false for any other type.
func (d *Decoder) raw(f field) (text []byte, ok bool) {
	v := d.values[f]
	if v.Type() != fastjson.TypeNumber {
		return nil, false
	}
	d.scratch = v.MarshalTo(d.scratch[:0])
	return d.scratch, true
}

func (c *checks) integer(d *Decoder, f field, least int64) int64 {
	text, ok := d.raw(f)
	if !ok {
		c.badType = true
		return 0
	}
	n, reason := parseInteger(text, least)
	c.note(reason)
	return n
}

func (c *checks) number(d *Decoder, f field) float64 {
	text, ok := d.raw(f)
	if !ok {
		c.badType = true
		return 0
	}
	n, reason := parseNumber(text)
	c.note(reason)
	return n
}

func (c *checks) note(r state.Reason) {
	c.badType = c.badType || r == state.Type
	c.badRange = c.badRange || r == state.Range
}

// parseInteger reads a valid JSON number as an integer of least … 2^53.
func parseInteger(text []byte, least int64) (int64, state.Reason) {
	digits := text
	negative := text[0] == '-'
	if negative {
		digits = text[1:]
	}
	var n int64
	tooLarge := false
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, state.Type // a fraction or an exponent
		}
		if n = n*10 + int64(c-'0'); n > state.MaxInteger {
			n, tooLarge = 0, true
		}
	}
	if negative {
		n = -n
	}
	if tooLarge || n < least {
		return 0, state.Range
	}
	return n, state.Accepted
}

// parseNumber reads a valid JSON number as a float ≥ 0, exact to the last bit. It goes by the float that every reader
// sees: one too small for a float64 is 0, or -0, which equals it.
func parseNumber(text []byte) (float64, state.Reason) {
	f, err := strconv.ParseFloat(aliasString(text), 64)
	if err != nil || math.IsInf(f, 0) || f < 0 {
		return 0, state.Range
	}
	return f, state.Accepted
}

// inRangeText reports whether decoded text has 1 to limit bytes and no control characters (U+0000–001F, U+007F–009F).
func inRangeText(b []byte, limit int) bool {
	if len(b) == 0 || len(b) > limit {
		return false
	}
	for i, c := range b {
		switch {
		case c < ' ' || c == 0x7F:
			return false
		case c == 0xC2 && b[i+1] < 0xA0: // valid UTF-8: a continuation byte follows
			return false
		}
	}
	return true
}

// oneLine returns the payload without surrounding white space, or nil if it has control characters within.
func oneLine(payload []byte) []byte {
	start, end := skipSpace(payload, 0), len(payload)
	for isSpace(payload[end-1]) {
		end--
	}
	for _, c := range payload[start:end] {
		if c < ' ' {
			return nil
		}
	}
	return payload[start:end:end]
}

// aliasString returns b as a string without copying it; the caller keeps b unchanged for as long as it is used.
func aliasString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
