package decode_test

import (
	"slices"
	"strings"
	"testing"
)

// FuzzDecode holds the decoder against the independent reader: acceptance, reason,
// every value bit by bit, and the datagram's own bytes; with a decoder that has seen other datagrams and with a new one.
func FuzzDecode(f *testing.F) {
	for _, payload := range valid() {
		f.Add([]byte(payload))
	}
	for _, value := range []string{"null", "true", "[]", "{}", `""`, `"\u0085"`, "\"\u0085\"", `"\ud800"`, `"\ud83d\ude00"`, `"\x"`, "\"\t\"", "\"\xff\"",
		"-1", "-2", "-0", "01", "1.", "1.0", "1e2", "1e999", "-1e999", "9007199254740993", "NaN", "-Infinity", `"` + strings.Repeat("é", 129) + `"`} {
		for _, payload := range each([]string{"engine_id", "timestamp_ms", "latency_pred_ms", "kv_cache_free_blocks"}, value) {
			f.Add([]byte(payload))
		}
		f.Add([]byte(plus(member{"v", value})))
	}
	for _, payload := range []string{"", " ", "{}", "[]", "null", `{"test":"data"}`, without("engine_id"), plus(usual[0]),
		plus(member{`\u0065ngine_id`, "1"}), plus(member{"v", nested(299)}), plus(member{"v", nested(300)}), text(usual...) + "x", "\ufeff" + text(usual...)} {
		f.Add([]byte(payload))
	}

	for _, shape := range slices.Concat(shapes(), hostile()) {
		f.Add([]byte(shape.payload))
	}

	used := newComparison()
	f.Fuzz(func(t *testing.T, payload []byte) {
		used.check(t, payload)
		newComparison().check(t, payload)
	})
}
