package decode

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	"github.com/elrar/state-gateway/state"
)

// usual decodes the datagrams that nearly all senders send, and refuses to judge any other: the eight fields in the
// wire's order, with or without a space after each colon and comma, printable ASCII strings without escapes, numbers
// in their limits. What it accepts, the general way accepts with the same values; for what it does not, valid or not,
// ok is false and the general way decides. A fuzz test holds the two to each other.
//
// The strings of s alias payload. line is the object itself, without the white space around it.
func usual(payload []byte, s *state.State) (line []byte, ok bool) {
	c := cursor{b: payload}
	c.i = skipSpace(payload, 0)
	start := c.i
	ok = c.literal(`{"engine_id":`) && c.space() && c.text(&s.EngineID, state.MaxEngineIDLength) &&
		c.name(`, "timestamp_ms": `) && c.integer(&s.TimestampMs, 0) &&
		c.name(`, "latency_pred_ms": `) && c.number(&s.LatencyPredMs) &&
		c.name(`, "scheduling_mode": `) && c.text(&s.SchedulingMode, state.MaxModeLength) &&
		c.name(`, "pending_tokens_total": `) && c.integer(&s.PendingTokensTotal, 0) &&
		c.name(`, "kv_cache_free_blocks": `) && c.integer(&s.KVCacheFreeBlocks, state.Unknown) &&
		c.name(`, "kv_cache_total_blocks": `) && c.integer(&s.KVCacheTotalBlocks, state.Unknown) &&
		c.name(`, "engine_capacity": `) && c.number(&s.EngineCapacity) &&
		c.literal(`}`)
	if !ok {
		return nil, false
	}
	return payload[start:c.i:c.i], skipSpace(payload, c.i) == len(payload)
}

// cursor is a place in a datagram. Its methods go past what they are named for and report whether it was there.
type cursor struct {
	b []byte
	i int
}

func (c *cursor) literal(text string) bool {
	end := c.i + len(text)
	if end > len(c.b) || string(c.b[c.i:end]) != text {
		return false
	}
	c.i = end
	return true
}

// space goes past one space, if there is one.
func (c *cursor) space() bool {
	if c.i < len(c.b) && c.b[c.i] == ' ' {
		c.i++
	}
	return true
}

// name goes past a comma, a name and its colon: text, which has a space after each of the two, with those or without.
func (c *cursor) name(text string) bool {
	return c.literal(text) || c.literal(text[:1]) && c.space() && c.literal(text[2:len(text)-1]) && c.space()
}

// text reads a string of 1 to limit bytes of printable ASCII.
func (c *cursor) text(s *string, limit int) bool {
	if c.i >= len(c.b) || c.b[c.i] != '"' {
		return false
	}
	start := c.i + 1
	n := plainLength(c.b[start:])
	end := start + n
	if n == 0 || n > limit || end >= len(c.b) || c.b[end] != '"' {
		return false
	}
	*s = aliasString(c.b[start:end])
	c.i = end + 1
	return true
}

// Eight bytes at a time: a byte below n, or equal to x, leaves its highest bit set ("Bit Twiddling Hacks", Anderson).
// A borrow can mark bytes above a marked one wrongly, so only the lowest mark counts.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainLength returns how many bytes at the start of b are printable ASCII, but for the quote and the backslash.
func plainLength(b []byte) int {
	n := 0
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, backslash, del := w^(ones*'"'), w^(ones*'\\'), w^(ones*0x7F)
		special := (w-ones*' ')&^w | (quote-ones)&^quote | (backslash-ones)&^backslash | (del-ones)&^del | w
		if special &= highs; special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c < ' ' || c >= 0x7F || c == '"' || c == '\\' {
			break
		}
	}
	return n
}

// integer reads an integer of least … 2^53 that no fraction and no exponent follows.
func (c *cursor) integer(v *int64, least int64) bool {
	b, i := c.b, c.i
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	first := i
	var n int64
	for i < len(b) && b[i]-'0' <= 9 {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	digits := i - first
	// 16 digits hold 2^53 and do not overflow; a leading zero stands alone; what ends the number is not part of one.
	if digits == 0 || digits > 16 || digits > 1 && b[first] == '0' || i == len(b) || b[i] != ',' {
		return false
	}
	if negative {
		n = -n
	}
	if n < least || n > state.MaxInteger {
		return false
	}
	*v, c.i = n, i
	return true
}

// number reads a number ≥ 0 in fixed notation.
func (c *cursor) number(v *float64) bool {
	b, i := c.b, c.i
	first := i
	var mantissa uint64
	for i < len(b) && b[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	whole := i - first
	if whole == 0 || whole > 1 && b[first] == '0' {
		return false
	}
	fraction := 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && b[i]-'0' <= 9 {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		if fraction = i - point; fraction == 0 {
			return false
		}
	}
	if i == len(b) || b[i] != ',' && b[i] != '}' {
		return false
	}
	if whole+fraction <= 19 { // fits in 64 bits
		*v = quotient(mantissa, powersOf10[fraction])
	} else {
		f, err := strconv.ParseFloat(aliasString(b[first:i]), 64)
		if err != nil {
			return false
		}
		*v = f
	}
	c.i = i
	return true
}

// quotient returns the float64 nearest to n/d, for a d > 0 that a float64 holds exactly.
func quotient(n, d uint64) float64 {
	if n <= 1<<53 { // exact too: one rounding, and the right one
		return float64(int64(n)) / float64(d)
	}
	// The first 63 or 64 bits of the quotient, with the last one set if anything follows, round as the whole of it does.
	shiftN, shiftD := bits.LeadingZeros64(n), bits.LeadingZeros64(d)
	n, d = n<<shiftN, d<<shiftD
	q, rest := bits.Div64(n>>1, n<<63, d)
	if rest != 0 {
		q |= 1
	}
	return float64(q) * math.Float64frombits(uint64(1023-63+shiftD-shiftN)<<52) // a power of two: exact
}

// powersOf10 are those that fit in 64 bits.
var powersOf10 = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19}
