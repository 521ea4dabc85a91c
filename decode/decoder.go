package decode

import (
	"bytes"

	"github.com/valyala/fastjson"

	"github.com/elrar/state-gateway/state"
)

// Decoder decodes datagrams. Its zero value is ready for use.
type Decoder struct {
	scanner
	seen   uint // the fields that came, a bit each
	twice  bool // one of them came twice
	faults uint // the reasons for refusing values, a bit each

	own      ownText
	verbatim []byte
	parsers  [2]fastjson.Parser // of the strings with escapes: engine_id and scheduling_mode
}

// New returns a decoder.
func New() *Decoder { return &Decoder{} }

// Decode decodes one datagram into s and returns state.Accepted; or returns the reason for refusing it, with s then
// undefined. Of several faults the first in state.Reason's order counts. The strings of s alias payload or the
// decoder's own memory: they are valid until the caller changes the one or calls Decode again.
func (d *Decoder) Decode(payload []byte, s *state.State) state.Reason {
	d.scanner = scanner{b: payload}
	d.seen, d.twice, d.faults, d.verbatim = 0, false, 0, nil
	if len(payload) == 0 {
		return state.Empty
	}
	if !d.object(s) {
		return state.JSON
	}
	switch {
	case d.twice:
		return state.DuplicateField
	case d.seen != 1<<fields-1:
		return state.MissingField
	case d.faults>>state.Type&1 != 0:
		return state.Type
	case d.faults>>state.Range&1 != 0:
		return state.Range
	}
	d.verbatim = d.own.text
	if d.lined {
		d.verbatim = nil
	}
	return state.Accepted
}

// Verbatim returns the last accepted datagram's own text as a line of JSON with exactly the eight fields: its object
// without the members of other names. It returns nil if there are tabs or line breaks in it. The bytes are those that
// Decode was given or the decoder's own, and valid for as long as the state's strings are.
func (d *Decoder) Verbatim() []byte { return d.verbatim }

// object reads the whole datagram: one object, with white space around it at most. It goes on at whatever is wrong with
// a field, since anything after it that is no JSON counts before that.
func (d *Decoder) object(s *state.State) bool {
	b := d.b
	start := skipSpace(b, 0)
	if start == len(b) || b[start] != '{' {
		return false
	}
	i := d.spaceAt(start + 1)
	if i < len(b) && b[i] == '}' {
		return skipSpace(b, i+1) == len(b)
	}
	// The shape that nearly all senders send makes no call for white space. (Unsigned, the compiler checks bounds once.)
	d.own.begin(start)
	seen := uint(0)
	for {
		at := i // a member's name begins here
		f, value := wireField(b, at)
		if f == unknown { // or written otherwise
			var end int
			var plain bool
			if end, value, plain = d.name(at); value == failed {
				return false
			}
			if name := b[at+1 : end-1]; plain {
				f = fieldOf(name)
			} else {
				f = escapedField(name)
			}
		}
		i = value
		if uint(i) < uint(len(b)) && b[i] <= ' ' {
			i = d.space(i)
		}
		if f == unknown {
			if d.own.from != left {
				d.own.leaveOut(b, at)
			}
			i = d.value(i)
		} else {
			if d.own.from == left {
				d.own.keep(at)
			}
			bit := uint(1) << (f & 7)
			if seen&bit != 0 {
				d.twice, f = true, unknown
			}
			seen |= bit
			switch f {
			case engineID:
				i = d.stringField(i, &s.EngineID, state.MaxEngineIDLength, &d.parsers[0])
			case timestampMs:
				i = d.integerField(i, &s.TimestampMs, 0)
			case latencyPredMs:
				i = d.floatField(i, &s.LatencyPredMs)
			case schedulingMode:
				i = d.stringField(i, &s.SchedulingMode, state.MaxModeLength, &d.parsers[1])
			case pendingTokensTotal:
				i = d.integerField(i, &s.PendingTokensTotal, 0)
			case kvCacheFreeBlocks:
				i = d.integerField(i, &s.KVCacheFreeBlocks, state.Unknown)
			case kvCacheTotalBlocks:
				i = d.integerField(i, &s.KVCacheTotalBlocks, state.Unknown)
			case engineCapacity:
				i = d.floatField(i, &s.EngineCapacity)
			default: // the second of its name: its value does not count, but must be valid
				i = d.value(i)
			}
		}
		if i == failed {
			return false
		}
		if uint(i) >= uint(len(b)) || b[i] != ',' {
			if i = d.space(i); i == len(b) || b[i] != ',' {
				break
			}
		}
		if i++; uint(i) < uint(len(b)) && b[i] == ' ' {
			i++
		}
		if uint(i) < uint(len(b)) && b[i] <= ' ' {
			i = d.space(i)
		}
	}
	if i == len(b) || b[i] != '}' {
		return false
	}
	d.seen = seen
	d.own.end(b, i+1)
	return skipSpace(b, i+1) == len(b)
}

// refuse notes what is wrong with a value, since a wrong type anywhere counts before a range.
func (d *Decoder) refuse(reason state.Reason) { d.faults |= 1 << reason }

// stringField reads a string of 1 to limit bytes. The parser decodes its escapes.
func (d *Decoder) stringField(i int, v *string, limit int, parser *fastjson.Parser) int {
	if uint(i) >= uint(len(d.b)) || d.b[i] != '"' {
		d.refuse(state.Type)
		return d.value(i)
	}
	end, plain := d.text(i)
	if end == failed {
		return failed
	}
	text := d.b[i+1 : end-1]
	if plain && len(text) > 0 && len(text) <= limit {
		*v = aliasString(text)
		return end
	}
	if len(text) > limit*longestEscape { // too long in any case, and not worth decoding
		d.refuse(state.Range)
		return end
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		decoded, err := parser.ParseBytes(d.b[i:end])
		if err != nil {
			return failed
		}
		text = decoded.GetStringBytes()
	}
	if !inRange(text, limit) {
		d.refuse(state.Range)
	}
	*v = aliasString(text)
	return end
}

// integerField reads an integer of least … 2^53.
func (d *Decoder) integerField(i int, v *int64, least int64) int {
	b, first := d.b, i
	if uint(i) < uint(len(b)) && b[i] == '-' {
		first++
	}
	mantissa, end := whole(b, first)
	if end == failed || uint(end) < uint(len(b)) && (b[end] == '.' || b[end]|0x20 == 'e') {
		d.refuse(state.Type) // if it is a value at all
		return d.value(i)
	}
	n := int64(mantissa)
	if first > i {
		n = -n
	}
	if end-first > 16 || mantissa > state.MaxInteger || n < least { // 16 digits hold 2^53, and do not overflow
		d.refuse(state.Range)
	}
	*v = n
	return end
}

// floatField reads a number ≥ 0, exact to the last bit. It goes by the float that every reader sees: one too small for
// a float64 is 0, or -0, which equals it.
func (d *Decoder) floatField(i int, v *float64) int {
	n, end := d.number(i)
	if end == failed {
		d.refuse(state.Type) // if it is a value at all
		return d.value(i)
	}
	ok := true
	if n.digits <= 19 && n.fraction != withExponent { // fits in 64 bits
		*v = quotient(n.mantissa, powersOf10[n.fraction])
	} else {
		*v, ok = nearestFloat(d.b[i:end])
	}
	if d.b[i] == '-' {
		*v = -*v
	}
	if !ok || *v < 0 {
		d.refuse(state.Range)
	}
	return end
}
