package decode

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Eight bytes at a time: a byte below n, or equal to x, leaves its highest bit set ("Bit Twiddling Hacks", Anderson).
// A borrow or carry can mark bytes above a marked one wrongly, so only the lowest mark counts.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text goes past a string. plain means that all of it is printable ASCII and stands for itself: no escape, no DEL, no
// byte of a longer character.
func (s *scanner) text(i int) (end int, plain bool) {
	b := s.b
	for i++; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		special := (w - ones*' ') | (w ^ ones*'"' - ones) | (w ^ ones*'\\' - ones) | (w + ones) | w // the last two: from DEL on
		if special &= highs; special != 0 {
			i += bits.TrailingZeros64(special) / 8
			break
		}
	}
	for uint(i) < uint(len(b)) {
		c := b[i]
		if c == '"' {
			return i + 1, true
		}
		if c < ' ' || c >= 0x7F || c == '\\' {
			break
		}
		i++
	}
	return s.oddText(i), false
}

// oddText goes past the rest of a string, from the first byte on that is not plain.
func (s *scanner) oddText(i int) int {
	if !s.validUTF8() {
		return failed
	}
	b := s.b
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i); i == failed {
				return failed
			}
			continue
		case c < ' ':
			return failed
		}
		i++
		if i+8 > len(b) {
			continue
		}
		w := binary.LittleEndian.Uint64(b[i:])
		special := ((w - ones*' ') | (w ^ ones*'"' - ones) | (w ^ ones*'\\' - ones)) &^ w & highs
		i += bits.TrailingZeros64(special) / 8 // 8 if there is none
	}
	return failed
}

// escape goes past an escape sequence: a whole pair of them for a surrogate.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.b) {
		return failed
	}
	switch s.b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	}
	switch r := unicodeEscape(s.b, i); {
	case r < 0 || r >= 0xDC00 && r <= 0xDFFF:
		return failed
	case r >= 0xD800 && r <= 0xDBFF:
		if low := unicodeEscape(s.b, i+6); low < 0xDC00 || low > 0xDFFF {
			return failed
		}
		return i + 12
	}
	return i + 6
}

// hexValues has the value of each hexadecimal digit, and -1 for any other byte.
var hexValues = func() (table [256]int8) {
	for c := range table {
		table[c] = -1
	}
	for i, c := range "0123456789abcdef" {
		table[c] = int8(i)
	}
	for i, c := range "ABCDEF" {
		table[c] = int8(10 + i)
	}
	return table
}()

// unicodeEscape returns the value of \uXXXX at b[i], or a negative number if that is not there.
func unicodeEscape(b []byte, i int) int {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	hex := b[i+2 : i+6]
	return int(hexValues[hex[0]])<<12 | int(hexValues[hex[1]])<<8 | int(hexValues[hex[2]])<<4 | int(hexValues[hex[3]])
}

// longestEscape is how many bytes a string can take for one byte of what it says.
const longestEscape = len(`\u0000`)

// inRange reports whether decoded text has 1 to limit bytes and no control characters (U+0000–001F, U+007F–009F).
func inRange(b []byte, limit int) bool {
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

// aliasString returns b as a string without copying it; the caller keeps b unchanged for as long as it is used.
func aliasString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
