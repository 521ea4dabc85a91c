package decode_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// TestAllocations decodes datagrams of several shapes in turn, as a socket that several engines send to receives them.
func TestAllocations(t *testing.T) {
	payloads := map[string]string{
		"usual":       text(usual...),
		"compact":     spaced(",", ":", usual...) + "\n",
		"white space": "\r\n" + spaced(" ,\n ", "\t: ", usual...) + " ",
		"extra":       plus(member{"gpus", `[{"id": 0}, {"id": 1}, [[1]], "x"]`}, member{"v", "1"}, member{"v", "2"}),
		"escapes":     strings.ReplaceAll(with(member{"engine_id", `"\u0065\ud83d\ude00\"\\"`}), "_", `\u005f`),
		"exponents":   with(member{"latency_pred_ms", "3e-05"}, member{"engine_capacity", "1.7976931348623157E308"}),
		"many digits": with(member{"latency_pred_ms", "0." + strings.Repeat("12345", 20)}, member{"engine_capacity", "2.2250738585072011e-308"}),
		"long texts":  with(member{"engine_id", `"` + strings.Repeat("é", 128) + `"`}, member{"scheduling_mode", `"` + strings.Repeat("m", 64) + `"`}),
		"deep":        plus(member{"v", nested(299)}),
		"1024 bytes":  padded(1024, plus(member{"v", "1"})),
	}
	d := decode.New()
	var s state.State
	all := func() {
		for name, payload := range payloads {
			if reason := d.General([]byte(payload), &s); reason != state.Accepted {
				t.Fatalf("%s: %v", name, reason)
			}
		}
	}
	all() // warm-up
	for name, payload := range payloads {
		input := []byte(payload)
		if n := testing.AllocsPerRun(100, func() { d.Decode(input, &s); d.Verbatim() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { d.General(input, &s); d.Verbatim() }); n != 0 {
			t.Errorf("%s: %v allocations the general way", name, n)
		}
		all()
	}
}

// TestRefusalAllocations refuses malformed datagrams, which anybody can send, without an allocation from the first one on.
func TestRefusalAllocations(t *testing.T) {
	for name, payload := range map[string]string{
		"empty":       "",
		"not JSON":    "engine_1:5|c",
		"cut short":   text(usual...)[:200],
		"trailing":    text(usual...) + "x",
		"bad number":  with(member{"latency_pred_ms", "NaN"}),
		"bad escape":  with(member{"engine_id", `"\x"`}),
		"not UTF-8":   with(member{"engine_id", "\"\xff\""}),
		"deep broken": plus(member{"v", strings.Repeat("[", 290) + "x"}),
		"too deep":    plus(member{"v", nested(300)}),
		"open":        strings.Repeat(`{"":`, 15_000),
		"long":        strings.Repeat(" ", 60_000),
	} {
		d := decode.New()
		var s state.State
		input := []byte(payload)
		if n := testing.AllocsPerRun(100, func() { d.Decode(input, &s) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for name, payload := range map[string]string{
		"duplicate_field": plus(usual[0]),
		"missing_field":   without("engine_id"),
		"type":            with(member{"timestamp_ms", "1.5"}, member{"engine_capacity", "null"}),
		"range":           with(member{"timestamp_ms", "-1"}, member{"engine_id", `""`}, member{"engine_capacity", "-1"}),
	} {
		d := decode.New()
		var s state.State
		input := []byte(payload)
		d.Decode(input, &s)
		if n := testing.AllocsPerRun(100, func() { d.Decode(input, &s) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// padded returns the datagram with white space, n bytes long.
func padded(n int, datagram string) string { return datagram + strings.Repeat(" ", n-len(datagram)) }

// growing returns a JSON object of n bytes whose (k+2)nd value is an array or object of as many members as there is room for,
// so that the parser's k-th value grows while the others stay small. Its member repeats between the brackets.
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

// TestMemoryIsBounded sends the datagrams that make the parser's values grow one by one. A decoder must not hold more
// than a few MiB after them, of whatever size they are.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 8 << 20
	for _, of := range []struct{ size, step int }{{300, 1}, {1000, 1}, {1024, 1}, {1025, 1}, {4096, 4}, {65_507, 500}} {
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
		if spent > 512*uint64(len(payload)) {
			t.Errorf("%s: %d bytes allocated for %d", name, spent, len(payload))
		}
	}
}
