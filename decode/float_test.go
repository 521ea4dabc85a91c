package decode_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// TestDecimals has random numbers in fixed notation, many of which are one division away from their float.
func TestDecimals(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	c := newComparison()
	digits := func(most int) string {
		b := make([]byte, random.IntN(most+1))
		for i := range b {
			b[i] = '0' + byte(random.IntN(10))
		}
		return string(b)
	}
	number := func() string {
		whole := strings.TrimLeft(digits(1+random.IntN(22)), "0")
		switch random.IntN(4) {
		case 0:
			whole = ""
		case 1:
			whole = "90071992547409" + digits(3) // about 2^53
		}
		if whole == "" {
			whole = "0"
		}
		if n := random.IntN(len(whole)); n > 0 && random.IntN(2) == 0 {
			return whole[:n] + "." + whole[n:]
		}
		return whole + "." + digits(22) + "5"
	}
	for n := int64(1<<53 - 4); n <= 1<<53+8; n++ { // where the first integer is that is no float
		for point := 1; point < 16; point++ {
			whole, fraction := fmt.Sprint(n)[:point], fmt.Sprint(n)[point:]
			c.check(t, []byte(with(member{"latency_pred_ms", whole + "." + fraction}, member{"engine_capacity", "0." + whole + fraction})))
		}
	}
	for range length(100_000) {
		if got := c.check(t, []byte(with(member{"latency_pred_ms", number()}, member{"engine_capacity", number()}))); got.reason != state.Accepted {
			t.Fatal(got.reason)
		}
	}
}

// TestQuotient holds the rounding to strconv's, with quotients half way between two floats and next to that.
func TestQuotient(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	check := func(n uint64, fraction int) {
		t.Helper()
		digits := fmt.Sprintf("%0*d", fraction+1, n)
		text := digits[:len(digits)-fraction] + "." + digits[len(digits)-fraction:]
		want, err := strconv.ParseFloat(strings.TrimSuffix(text, "."), 64)
		if err != nil {
			t.Fatal(err)
		}
		d := uint64(1)
		for range fraction {
			d *= 10
		}
		if got := decode.Quotient(n, d); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for fraction := range 20 {
		for _, n := range []uint64{0, 1, 9, 10, 1<<53 - 1, 1 << 53, 1<<53 + 1, 1<<53 + 2, 1<<53 + 3, 1<<54 + 2, 1<<54 + 6, 1<<63 - 1, 1 << 63, math.MaxUint64} {
			check(n, fraction)
		}
		for range 20_000 {
			check(random.Uint64()>>random.IntN(64), fraction)
		}
	}
	// k + 1/2^i is half way between two floats where k has 53-i bits behind its first.
	for i, five := 0, uint64(1); i <= 4; i, five = i+1, five*5 {
		for range 20_000 {
			k := uint64(1)<<(53-i) | random.Uint64N(1<<(53-i))
			if i == 0 {
				k &^= 1
			}
			half := k*five<<i + five
			check(half-1, i)
			check(half, i)
			check(half+1, i)
		}
	}
}

// checkFloat holds the float of a text to strconv's, and to that of the exact fraction of integers.
func checkFloat(t *testing.T, text string) {
	t.Helper()
	want, wantOK := exactFloat(text)
	if f, err := strconv.ParseFloat(text, 64); len(text) <= 800 && (err == nil) != wantOK || wantOK && f != want && len(text) <= 800 {
		t.Fatalf("%s: strconv has %v, the fraction %v", text, f, want)
	}
	if got, ok := decode.NearestFloat(text); ok != wantOK || ok && got != want {
		t.Errorf("%s:\ngot  %v, %v\nwant %v, %v", text, got, ok, want, wantOK)
	}
}

// exactFloat returns the float64 nearest to a valid number, or not ok if that is infinite: by a fraction of integers,
// unless its exponent is larger than the number of digits can matter for. strconv would do, but that (Go 1.26) takes an
// integer of more than 800 digits for one of 800 if it has an exponent: 1, 900 zeros and e-900 for 1e-101.
func exactFloat(text string) (f float64, ok bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 && len(text)-i > len("e-99999") {
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, false
	}
	f, _ = r.Float64()
	if r.Sign() == 0 && text[0] == '-' || f == 0 && r.Sign() < 0 {
		f = math.Copysign(0, -1)
	}
	return f, !math.IsInf(f, 0)
}

// TestNearestFloat has decimals half way between two floats and as near to that as 4 KB can tell, over all exponents.
func TestNearestFloat(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	near := func(m int64, e int) {
		t.Helper()
		digits, whole := halfway(m, e)
		exponent := strings.TrimPrefix(whole, digits)
		checkFloat(t, whole)
		for _, tail := range []string{"0", "1", "00000000000000000001", strings.Repeat("0", 3000), strings.Repeat("0", 3000) + "1", strings.Repeat("9", 900)} {
			checkFloat(t, digits+tail+exponent)
		}
		trimmed := strings.TrimRight(digits, "0.")
		last := len(trimmed) - 1
		for _, below := range []string{"", "9", strings.Repeat("9", 1000)} { // the last digit one less, and more behind it
			checkFloat(t, trimmed[:last]+string(trimmed[last]-1)+below+exponent)
		}
		for _, n := range []int{1, 2, 16, 17, 18, 19, 20, 21, 37, 38, 39, 100, 400, 760} { // cut short
			if n += 2; n <= last {
				checkFloat(t, trimmed[:n]+exponent)
				checkFloat(t, trimmed[:n]+"9"+exponent)
			}
		}
		fraction := strings.Replace(trimmed, ".", "", 1)
		checkFloat(t, "0."+strings.Repeat("0", 60)+fraction+fmt.Sprintf("e%d", 61+mustInt(t, exponent[1:])))
		checkFloat(t, fraction+fmt.Sprintf("E%+d", 1-len(fraction)+mustInt(t, exponent[1:])))
	}
	for e := -1074; e <= 971; e += 1 + random.IntN(40) {
		near(1<<52|random.Int64N(1<<52), e)
		near(1<<53-1, e)
		near(1<<52, e)
	}
	for _, m := range []int64{0, 1, 2, 3, 1<<51 - 1, 1 << 51, 1<<52 - 2, 1<<52 - 1, 1 << 52, 1<<52 + 1, 1<<53 - 1} { // subnormals and the first that is none
		near(m, -1074)
	}
	near(1<<53-1, 971) // half way from the largest float to what overflows
	for range length(200) {
		near(random.Int64N(1<<52), -1074)
	}
}

func mustInt(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFloatTexts has random digits with a point and an exponent anywhere, and zeros at all ends.
func TestFloatTexts(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	digits := func(most int) string {
		b := make([]byte, random.IntN(most+1))
		for i := range b {
			b[i] = '0' + byte(random.IntN(10))
		}
		return string(b)
	}
	for range length(200_000) {
		whole := "0"
		if random.IntN(3) > 0 {
			whole = string('1'+byte(random.IntN(9))) + digits(24) + strings.Repeat("0", random.IntN(2)*random.IntN(320))
		}
		text := whole
		if random.IntN(3) > 0 {
			text += "." + strings.Repeat("0", random.IntN(2)*random.IntN(340)) + digits(30) + "5"
		}
		if random.IntN(2) == 0 {
			text += string("eE"[random.IntN(2)]) + []string{"", "-", "+", "-00", "+0"}[random.IntN(5)] + strconv.Itoa(random.IntN(random.IntN(700)+1))
		}
		checkFloat(t, text)
	}
	for _, text := range []string{"0", "0.0", "0e0", "0.000e-5", "0e999999999999999999999999", "1e999999999999999999999999", "1e-999999999999999999999999",
		"1e400", "1e-400", "1e309", "1e308", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "17976931348623157" + strings.Repeat("0", 292),
		"2.4703282292062327e-324", "2.4703282292062328e-324", "4.9406564584124654e-324", "9e-325", "1e-323", "1e-324", "2e-324", "3e-324", "2.2250738585072011e-308", "2.2250738585072014e-308",
		"9007199254740993", "9007199254740993.0", "90071992547409930e-1", "9007199254740993000000000000000000e-18", "10000000000000000000", "99999999999999999999", "18446744073709551615", "18446744073709551616",
		"0." + strings.Repeat("0", 4000) + "1e4001", "1" + strings.Repeat("0", 4000) + "e-4000", "0." + strings.Repeat("0", 4000) + "1"} {
		checkFloat(t, text)
	}
}
