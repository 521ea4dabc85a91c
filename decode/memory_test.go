package decode_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// TestAllocations decodes datagrams of all shapes in turn, as a socket that anybody can send to receives them. Once the
// decoder's memory for escapes has grown, none of them makes it allocate, whatever is in it and whatever came before.
func TestAllocations(t *testing.T) {
	all := slices.Concat(shapes(), hostile(), []shape{
		{"empty", ""},
		{"not JSON", "engine_1:5|c"},
		{"cut short", text(usual...)[:200]},
		{"bad number", with(member{"latency_pred_ms", "NaN"})},
		{"bad escape", with(member{"engine_id", `"\x"`})},
		{"not UTF-8", with(member{"engine_id", "\"\xff\""})},
		{"deep and broken", plus(member{"v", strings.Repeat("[", 290) + "x"})},
		{"long texts", with(member{"engine_id", `"` + strings.Repeat("é", 128) + `"`}, member{"scheduling_mode", `"` + strings.Repeat("m", 64) + `"`})},
		{"duplicate_field", plus(usual[0])},
		{"missing_field", without("engine_id")},
		{"type", with(member{"timestamp_ms", "1.5"}, member{"engine_capacity", "null"})},
		{"range", with(member{"timestamp_ms", "-1"}, member{"engine_id", `""`}, member{"engine_capacity", "-1"})},
	})
	d := decode.New()
	var s state.State
	decodeAll := func() {
		for _, shape := range all {
			d.Decode([]byte(shape.payload), &s)
		}
	}
	decodeAll() // warm-up
	for _, shape := range all {
		input := []byte(shape.payload)
		if n := testing.AllocsPerRun(20, func() { d.Decode(input, &s); d.Verbatim() }); n != 0 {
			t.Errorf("%s: %v allocations", shape.name, n)
		}
		decodeAll()
	}
}

// growing returns a JSON object of n bytes whose (k+2)nd value is an array or object of as many members as there is room for,
// so that a parser's k-th value grows while the others stay small. Its member repeats between the brackets.
func growing(n, k int, brackets, member string) string {
	head := `{"":[` + strings.Repeat("0,", k) + brackets[:1]
	tail := brackets[1:] + "]}"
	room := n - len(head) - len(tail)
	if room < len(member) {
		return ""
	}
	body := strings.Repeat(member+",", (room+1)/(len(member)+1))
	body = body[:len(body)-1]
	return head + body + tail + strings.Repeat(" ", room-len(body))
}

// TestMemoryIsBounded sends datagrams that would make a parser's values grow one by one. A decoder must hold no
// more than the datagram after them, of whatever size they are.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 256 << 10
	for _, of := range []struct{ size, step int }{{300, 1}, {1000, 1}, {4096, 4}, {65_507, 500}} {
		n := of.size
		d := decode.New()
		before := heap()
		for k := 0; k < n/2; k += of.step {
			for _, shape := range []struct{ brackets, member string }{{"[]", "0"}, {"{}", `"":0`}} {
				payload := growing(n, k, shape.brackets, shape.member)
				if payload == "" {
					continue
				}
				var s state.State
				if reason := d.Decode([]byte(payload), &s); reason != state.MissingField {
					t.Fatalf("%q: %v", payload, reason)
				}
			}
		}
		held := int64(heap()) - int64(before)
		t.Logf("datagrams of %5d bytes: %8d bytes held", n, held)
		if held > bound {
			t.Errorf("datagrams of %d bytes make the decoder hold %d bytes", n, held)
		}
		runtime.KeepAlive(d)
	}
}

// heap returns the bytes that are in use on the heap.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestCostOfOne decodes the costliest datagrams for their size with a new decoder each.
func TestCostOfOne(t *testing.T) {
	const n = 65_507 // the largest UDP payload
	for name, payload := range map[string]string{
		"many numbers":  growing(n, 0, "[]", "0"),
		"many strings":  growing(n, 0, "[]", `""`),
		"many arrays":   growing(n, 0, "[]", "[0]"),
		"many objects":  growing(n, 0, "[]", `{"":0}`),
		"many members":  growing(n, 0, "{}", `"":0`),
		"many escapes":  growing(n, 0, "{}", `"\"\\\u0041":"\"\\"`),
		"one long text": with(member{"engine_id", `"` + strings.Repeat(`\"`, 32_000) + `"`}),
		"one number":    with(member{"engine_capacity", strings.Repeat("9", 65_000)}),
		"one integer":   with(member{"timestamp_ms", strings.Repeat("9", 65_000)}),
	} {
		var before, after runtime.MemStats
		d := decode.New()
		var s state.State
		input := []byte(payload)
		runtime.ReadMemStats(&before)
		reason := d.Decode(input, &s)
		runtime.ReadMemStats(&after)
		if reason != state.MissingField && reason != state.Range {
			t.Errorf("%s: %v", name, reason)
		}
		spent := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-13s %3d bytes allocated per byte", name, spent/uint64(len(payload)))
		if spent > 2*uint64(len(payload)) {
			t.Errorf("%s: %d bytes allocated for %d", name, spent, len(payload))
		}
	}
}
