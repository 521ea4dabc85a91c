package decode_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/state"
)

// TestUsual has the datagrams for which the short way is there: it must not be lost on them.
func TestUsual(t *testing.T) {
	long := strings.Repeat("0123456789", 26)
	for _, payload := range []string{
		text(usual...),
		spaced(",", ":", usual...),
		spaced(",", ": ", usual...),
		"\r\n " + text(usual...) + "\t\n",
		with(member{"latency_pred_ms", "0.0"}, member{"engine_capacity", "0.0"}),
		with(member{"latency_pred_ms", "0"}, member{"engine_capacity", "100"}),
		with(member{"latency_pred_ms", "0.00012345678901234567"}, member{"engine_capacity", "123456789012345678901234567890.5"}),
		with(member{"timestamp_ms", "9007199254740992"}, member{"kv_cache_free_blocks", "0"}, member{"kv_cache_total_blocks", "81920"}),
		with(member{"engine_id", `"x"`}, member{"scheduling_mode", `"` + long[:64] + `"`}),
		with(member{"engine_id", `"` + long[:256] + `"`}, member{"scheduling_mode", `" !#[]~"`}),
	} {
		c := newComparison()
		if got := c.check(t, []byte(payload)); !got.short {
			t.Errorf("%q took the long way: %v", payload, got.reason)
		}
	}
}

// TestEveryByte puts every byte at every place of texts that are read eight bytes at a time.
func TestEveryByte(t *testing.T) {
	c := newComparison()
	const letters = "http://172.17.0.3:8000/x"
	for length := 1; length <= len(letters); length++ {
		payload := []byte(with(member{"engine_id", `"` + letters[:length] + `"`}))
		start := strings.Index(string(payload), letters[:length])
		for i := start; i < start+length; i++ {
			was := payload[i]
			for b := range 256 {
				payload[i] = byte(b)
				c.check(t, payload)
			}
			payload[i] = was
		}
	}
}

// TestEdgeBytes has texts of nothing but bytes at the edges of what may be in them, side by side.
func TestEdgeBytes(t *testing.T) {
	const edges = " !!#[]^~}~ az09 \"\\\x00\x01\x1f\x7f\x80\x81\xa0\xa2\xdc\xff"
	random := rand.New(rand.NewPCG(3, 4))
	c := newComparison()
	accepted := 0
	for range length(50_000) {
		text := make([]byte, 1+random.IntN(20))
		most := len(edges)
		if random.IntN(2) == 0 {
			most = strings.IndexByte(edges, '"')
		}
		for i := range text {
			text[i] = edges[random.IntN(most)]
		}
		if got := c.check(t, []byte(with(member{"scheduling_mode", `"` + string(text) + `"`}))); got.short {
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("none went the short way")
	}
}

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
	short := 0
	n := length(100_000)
	for range n {
		if got := c.check(t, []byte(with(member{"latency_pred_ms", number()}, member{"engine_capacity", number()}))); got.short {
			short++
		}
	}
	if short < n*9/10 {
		t.Errorf("only %d of %d went the short way", short, n)
	}
}

// TestUsualStrings checks that the short way's strings are the payload's own bytes, which is what makes it cheap.
func TestUsualStrings(t *testing.T) {
	payload := []byte(text(usual...))
	var s state.State
	if reason := decode.New().Decode(payload, &s); reason != state.Accepted {
		t.Fatal(reason)
	}
	copy(payload[slices.Index(payload, 'h'):], "HTTP")
	if want := "HTTP://172.17.0.3:8000"; s.EngineID != want {
		t.Errorf("%q, want %q", s.EngineID, want)
	}
}

// length returns n in the full check, and a twentieth of it elsewhere.
func length(n int) int {
	if raceEnabled || !needs.IsFullCheck() {
		return n / 20
	}
	return n
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
