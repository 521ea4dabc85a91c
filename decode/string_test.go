package decode_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/state"
)

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
		if got := c.check(t, []byte(with(member{"scheduling_mode", `"` + string(text) + `"`}))); got.reason == state.Accepted {
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("none was accepted")
	}
}

// TestPlainStrings checks that strings without escapes are the payload's own bytes, which is what makes it cheap.
func TestPlainStrings(t *testing.T) {
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
