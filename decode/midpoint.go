package decode

import (
	"cmp"
	"math"
	"math/bits"
)

// midpoint compares a decimal with points half way between two neighbouring floats, exactly.
//
// Such a point is (2m+1)·2^(e-1) with 2m+1 < 2^54 and e-1 ≥ -1075. It has at most 768 decimal digits: those of
// (2m+1)·5^1075 are the most. So it makes no difference which digits a decimal has behind its 768th, only whether any
// of them is not 0; a 1 stands for these (W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990, has
// the method).
type midpoint struct {
	digits natural // the decimal is digits·10^exponent; the power of five is in digits if the exponent is not negative,
	fives  natural // and else here, by which the other side is to be multiplied
	twos   int     // the exponent again: what is left of 10^exponent is 2^twos
}

const midpointDigits = 768

// set makes m of a decimal other than 0; m must be new.
func (m *midpoint) set(d *decimal) {
	kept, exponent, more := 0, d.exponent+d.digits, false // of 0.digits, then of digits.0
	for _, run := range d.runs {
		n := min(len(run), midpointDigits-kept)
		more = more || len(trimZeros(run[n:])) > 0
		kept += n
		for run = run[:n]; len(run) > 0; {
			n := min(len(run), headDigits)
			part, _ := digits(run[:n], 0, 0)
			m.digits.multiplyAdd(powersOf10[n], part)
			run = run[n:]
		}
	}
	exponent -= kept
	if more {
		m.digits.multiplyAdd(10, 1)
		exponent--
	}
	m.twos = exponent
	if exponent >= 0 {
		m.fives = powersOf5[0]
		m.digits.multiplyFives(exponent)
	} else {
		m.fives = powersOf5[-exponent/fivesAWord]
		m.fives.multiplyFives(-exponent % fivesAWord)
	}
}

// rounds returns which way the decimal goes from the point half way between f ≥ 0 and the next larger float: > 0 up to
// that one, < 0 down to f; on the point itself, to the even one of the two.
func (m *midpoint) rounds(f float64) int {
	if c := m.compare(f); c != 0 {
		return c
	}
	if math.Float64bits(f)&1 == 0 {
		return -1
	}
	return 1
}

// compare compares the decimal with the point half way between f ≥ 0 and the next larger float.
func (m *midpoint) compare(f float64) int {
	const fraction = 1<<52 - 1
	mantissa, exponent := math.Float64bits(f)&fraction, int(math.Float64bits(f)>>52)
	if exponent == 0 {
		exponent = 1 // subnormal
	} else {
		mantissa |= fraction + 1
	}
	point := m.fives
	point.multiplyAdd(2*mantissa+1, 0)
	// The decimal is digits·2^twos, the point is point·2^(exponent-1076).
	decimal, shift := m.digits, m.twos-(exponent-1076)
	if shift > 0 {
		decimal.shiftLeft(shift)
	} else {
		point.shiftLeft(-shift)
	}
	return decimal.compare(&point)
}

// natural is a natural number of a fixed size, the lowest word first. What midpoint makes of it has fewer than 2,700
// bits: 769 digits have 2,555, (2m+1)·5^1092 has 2,590, and neither is shifted by more than makes up for its size.
type natural struct {
	words [44]uint64
	n     int // how many of them are in use
}

// multiplyAdd makes x·by + add of x.
func (x *natural) multiplyAdd(by, add uint64) {
	carry := add
	words := x.words[:x.n]
	for i, word := range words {
		high, low := bits.Mul64(word, by)
		var c uint64
		words[i], c = bits.Add64(low, carry, 0)
		carry = high + c
	}
	if carry != 0 {
		x.words[x.n] = carry
		x.n++
	}
}

// fivesAWord is the largest power of five that fits in a word.
const fivesAWord = 27

// powersOf5 are 5^(27·i).
var powersOf5 = func() (table [41]natural) {
	table[0].multiplyAdd(0, 1)
	for i := range table[1:] {
		table[i+1] = table[i]
		table[i+1].multiplyFives(fivesAWord)
	}
	return table
}()

// multiplyFives makes x·5^n of x.
func (x *natural) multiplyFives(n int) {
	for n > 0 {
		step, power := min(n, fivesAWord), uint64(1)
		for range step {
			power *= 5
		}
		x.multiplyAdd(power, 0)
		n -= step
	}
}

// shiftLeft makes x·2^n of x.
func (x *natural) shiftLeft(n int) {
	words := n / 64
	copy(x.words[words:], x.words[:x.n])
	clear(x.words[:words])
	x.n += words
	x.multiplyAdd(1<<(n%64), 0)
}

func (x *natural) compare(y *natural) int {
	if x.n != y.n {
		return cmp.Compare(x.n, y.n)
	}
	for i := x.n - 1; i >= 0; i-- {
		if x.words[i] != y.words[i] {
			return cmp.Compare(x.words[i], y.words[i])
		}
	}
	return 0
}
