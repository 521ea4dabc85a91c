package decode

import "encoding/binary"

// number is what was read of a number on the way past it.
type number struct {
	mantissa uint64 // its digits without the point; too many overflow it
	digits   int    // how many there are, the exponent's not counted
	fraction int    // how many of them come after the point; 0: no point; withExponent: any number of them, and an exponent
}

const withExponent = -1

// number goes past a number.
func (s *scanner) number(i int) (n number, end int) {
	b := s.b
	if uint(i) < uint(len(b)) && b[i] == '-' {
		i++
	}
	first := i
	mantissa, i := whole(b, i)
	if i == failed {
		return number{}, failed
	}
	count, fraction := i-first, 0
	if uint(i) < uint(len(b)) && b[i] == '.' {
		point := i + 1
		mantissa, i = digits(b, point, mantissa)
		if fraction = i - point; fraction == 0 {
			return number{}, failed
		}
	}
	if uint(i) < uint(len(b)) && b[i]|0x20 == 'e' {
		if i = exponent(b, i); i == failed {
			return number{}, failed
		}
		fraction = withExponent
	}
	return number{mantissa, count + fraction, fraction}, i
}

// whole goes past the digits before a number's point, the first of which is a 0 only if it stands alone. They are few.
func whole(b []byte, i int) (mantissa uint64, end int) {
	end = i
	for uint(end) < uint(len(b)) {
		c := b[end] - '0'
		if c > 9 {
			break
		}
		mantissa = mantissa*10 + uint64(c)
		end++
	}
	if end == i || end > i+1 && b[i] == '0' {
		return 0, failed
	}
	return mantissa, end
}

// exponent goes past an exponent.
func exponent(b []byte, i int) int {
	i++
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		i++
	}
	first := i
	if _, i = digits(b, i, 0); i == first {
		return failed
	}
	return i
}

// digits goes past digits, eight at a time while it can, and returns those of before with them appended.
func digits(b []byte, i int, before uint64) (uint64, int) {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:]) ^ ones*'0'
		if (w+ones*(0x80-10)|w)&highs != 0 { // one of them is no digit
			break
		}
		before = before*1e8 + eightDigits(w)
	}
	for uint(i) < uint(len(b)) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		before = before*10 + uint64(c)
		i++
	}
	return before, i
}

// eightDigits returns the number whose digits are the bytes of w, the first in the lowest. It makes pairs of neighbours,
// fours of pairs and eight of fours (as in Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019).
func eightDigits(w uint64) uint64 {
	const even = 0x00FF00FF00FF00FF
	w = w*10 + w>>8                      // a pair in each even byte
	w = w&even*100 + w>>16&even          // a four in each even 16 bits
	return w&0xFFFF*10000 + w>>32&0xFFFF // the whole
}

// powersOf10 are those that fit in 64 bits.
var powersOf10 = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19}
