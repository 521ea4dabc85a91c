package decode

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

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

// nearestFloat returns the float64 nearest to a valid number, its sign left out, and of two the even one; ok is false if
// it overflows.
//
// It is strconv.ParseFloat with a bound on the time: that takes up to 38 µs for a number half way between two floats, and
// 14 for any below 2.2e-308. So strconv gets what it is fast for, 19 digits of a number that is no subnormal, and where
// the other digits matter, exact arithmetic of a fixed size decides (midpoint).
func nearestFloat(text []byte) (f float64, ok bool) {
	d := readDecimal(text)
	switch first := d.exponent + d.digits; { // the number is less than 10^first, and at least a tenth of it
	case d.head == 0 || first < -323: // less than 1e-324, and half of the smallest float is 2.4e-324
		return 0, true
	case first > 309: // at least 1e309
		return math.Inf(1), false
	case first < -306: // less than 1e-306: its head by itself may be subnormal
		f = headFloat(d.head, d.exponent+300) * 1e-300 // two roundings too many: a guess
	default:
		f = headFloat(d.head, d.exponent)
		if !d.more || f == headFloat(d.head+1, d.exponent) { // the number lies between the two
			return f, !math.IsInf(f, 1)
		}
	}
	// The guess is at most a few floats off: go up while the number is above the point half way to the next one, and
	// down while it is below the one before.
	var m midpoint
	m.set(&d)
	for m.rounds(f) > 0 {
		f = math.Nextafter(f, math.Inf(1))
	}
	for f > 0 && m.rounds(math.Nextafter(f, 0)) < 0 {
		f = math.Nextafter(f, 0)
	}
	return f, !math.IsInf(f, 1)
}

// headFloat returns the float64 nearest to head·10^exponent, which may be infinite.
func headFloat(head uint64, exponent int) float64 {
	if exponent <= 0 && -exponent < len(powersOf10) {
		return quotient(head, powersOf10[-exponent])
	}
	var text [32]byte
	b := strconv.AppendUint(text[:0], head, 10)
	b = append(b, 'e')
	b = strconv.AppendInt(b, int64(exponent), 10)
	f, _ := strconv.ParseFloat(aliasString(b), 64)
	return f
}

// decimal is a number ≥ 0: head·10^exponent, and less than 10^exponent beyond that.
type decimal struct {
	head     uint64 // its first 19 digits, or all that it has; zeros at its beginning do not count
	digits   int    // how many these are
	exponent int
	more     bool // a digit other than 0 follows them

	runs [2][]byte // all digits, before the point and behind it, without zeros at the beginning
}

// headDigits fit in 64 bits, and so does the next number.
const headDigits = 19

// readDecimal reads a valid number.
func readDecimal(text []byte) (d decimal) {
	if text[0] == '-' {
		text = text[1:]
	}
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		d.exponent = readExponent(text[i+1:])
		text = text[:i]
	}
	before, behind, _ := bytes.Cut(text, []byte{'.'})
	d.exponent -= len(behind)
	if before = trimZeros(before); len(before) == 0 {
		behind = trimZeros(behind)
	}
	d.runs = [2][]byte{before, behind}
	for _, run := range d.runs {
		n := min(len(run), headDigits-d.digits)
		d.head, _ = digits(run[:n], 0, d.head)
		d.digits += n
		d.exponent += len(run) - n
		d.more = d.more || len(trimZeros(run[n:])) > 0
	}
	return d
}

// trimZeros returns b without zeros at its beginning.
func trimZeros(b []byte) []byte {
	for len(b) >= 8 && binary.LittleEndian.Uint64(b) == ones*'0' {
		b = b[8:]
	}
	for len(b) > 0 && b[0] == '0' {
		b = b[1:]
	}
	return b
}

// readExponent returns an exponent; a larger one than any number's digits make up for stands for all that are larger.
func readExponent(text []byte) int {
	const enough = 1 << 24
	sign := 1
	if text[0] == '+' || text[0] == '-' {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	if text = trimZeros(text); len(text) > 8 {
		return sign * enough
	}
	n, _ := digits(text, 0, 0)
	return sign * min(int(n), enough)
}
