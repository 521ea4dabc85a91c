package state

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// recorded is the protocol's example, with its text as the agent sent it.
var recorded = State{
	EngineID:           "http://172.17.0.3:8000",
	TimestampMs:        1755532567495,
	LatencyPredMs:      21.253122228102537,
	SchedulingMode:     "latency_optimized",
	PendingTokensTotal: 0,
	KVCacheFreeBlocks:  Unknown,
	KVCacheTotalBlocks: Unknown,
	EngineCapacity:     59768.2749641796,
}

const recordedText = `{"engine_id": "http://172.17.0.3:8000", "timestamp_ms": 1755532567495, "latency_pred_ms": 21.253122228102537, ` +
	`"scheduling_mode": "latency_optimized", "pending_tokens_total": 0, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": -1, ` +
	`"engine_capacity": 59768.2749641796}`

func TestAppendJSONIsTheWire(t *testing.T) {
	if got := string(recorded.AppendJSON([]byte("before "))); got != "before "+recordedText {
		t.Errorf("got  %s\nwant before %s", got, recordedText)
	}
	if got := string(recorded.AppendFields(nil)); "{"+got+"}" != recordedText {
		t.Errorf("fields %s", got)
	}
}

func TestAppendJSONExtremes(t *testing.T) {
	for _, s := range []State{
		{EngineID: "e", SchedulingMode: "m"},
		{
			EngineID: strings.Repeat(`"`, MaxEngineIDLength), SchedulingMode: strings.Repeat(`\`, MaxModeLength),
			TimestampMs: MaxInteger, PendingTokensTotal: MaxInteger, KVCacheFreeBlocks: MaxInteger, KVCacheTotalBlocks: Unknown,
			LatencyPredMs: math.MaxFloat64, EngineCapacity: math.SmallestNonzeroFloat64,
		},
	} {
		var got struct {
			EngineID           string  `json:"engine_id"`
			TimestampMs        int64   `json:"timestamp_ms"`
			LatencyPredMs      float64 `json:"latency_pred_ms"`
			SchedulingMode     string  `json:"scheduling_mode"`
			PendingTokensTotal int64   `json:"pending_tokens_total"`
			KVCacheFreeBlocks  int64   `json:"kv_cache_free_blocks"`
			KVCacheTotalBlocks int64   `json:"kv_cache_total_blocks"`
			EngineCapacity     float64 `json:"engine_capacity"`
		}
		text := s.AppendJSON(nil)
		if err := json.Unmarshal(text, &got, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if State(got) != s {
			t.Errorf("%s\nread %+v\nsent %+v", text, got, s)
		}
	}
}

func TestAppendFloatKnown(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string // Python's repr
	}{
		{0, "0.0"},
		{math.Copysign(0, -1), "-0.0"},
		{1, "1.0"},
		{-1, "-1.0"},
		{0.1, "0.1"},
		{0.30000000000000004, "0.30000000000000004"},
		{21.253122228102537, "21.253122228102537"},
		{59768.2749641796, "59768.2749641796"},
		{100, "100.0"},
		{1 << 53, "9007199254740992.0"},
		{1e-4, "0.0001"},
		{math.Nextafter(1e-4, 0), "9.999999999999999e-05"},
		{0.00012345678901234567, "0.00012345678901234567"},
		{3e-5, "3e-05"},
		{-3e-5, "-3e-05"},
		{1e15, "1000000000000000.0"},
		{math.Nextafter(1e16, 0), "9999999999999998.0"},
		{1e16, "1e+16"},
		{-1e16, "-1e+16"},
		{1.5e16, "1.5e+16"},
		{1e22, "1e+22"},
		{1e23, "1e+23"},
		{1e100, "1e+100"},
		{5e-324, "5e-324"},
		{2.2250738585072014e-308, "2.2250738585072014e-308"},
		{math.MaxFloat64, "1.7976931348623157e+308"},
	} {
		if got := string(AppendFloat([]byte("."), c.f)); got != "."+c.want {
			t.Errorf("got %s, want .%s", got, c.want)
		}
	}
}

// FuzzAppendFloat: every finite number reads back with the same bits, in two readers, and as no integer; no shorter
// text would.
func FuzzAppendFloat(f *testing.F) {
	for _, bits := range []uint64{0, 1 << 63, 1, 1<<52 - 1, 1 << 52, math.MaxUint64, math.Float64bits(1e16), math.Float64bits(1e-4),
		math.Float64bits(math.MaxFloat64), math.Float64bits(21.253122228102537), math.Float64bits(3e-5), math.Float64bits(1e23)} {
		f.Add(bits)
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		want := math.Float64frombits(bits)
		if math.IsNaN(want) || math.IsInf(want, 0) {
			t.Skip("JSON has no such number")
		}
		text := string(AppendFloat(nil, want))
		if got, err := strconv.ParseFloat(text, 64); err != nil || math.Float64bits(got) != bits {
			t.Errorf("%x: %s reads as %v, %v", bits, text, got, err)
		}
		var got float64
		if err := json.Unmarshal([]byte(text), &got); err != nil || math.Float64bits(got) != bits {
			t.Errorf("%x: %s reads as JSON %v, %v", bits, text, got, err)
		}
		if !strings.ContainsAny(text, ".e") {
			t.Errorf("%s is an integer", text)
		}
		if digits := significant(text); len(digits) > len(significant(strconv.FormatFloat(want, 'e', -1, 64))) {
			t.Errorf("%s is not the shortest text", text)
		}
	})
}

// significant returns the digits of a number without leading and trailing zeros.
func significant(number string) string {
	number, _, _ = strings.Cut(number, "e")
	return strings.Trim(strings.ReplaceAll(strings.TrimPrefix(number, "-"), ".", ""), "0")
}

func TestAppendStringKnown(t *testing.T) {
	for in, want := range map[string]string{
		"":                       `""`,
		"http://172.17.0.3:8000": `"http://172.17.0.3:8000"`,
		`"`:                      `"\""`,
		`\`:                      `"\\"`,
		`a"b\c`:                  `"a\"b\\c"`,
		`\\""`:                   `"\\\\\"\""`,
		"\x00\x01\n\t\x1f":       `"\u0000\u0001\u000a\u0009\u001f"`,
		"tail\n":                 `"tail\u000a"`,
		"\nhead":                 `"\u000ahead"`,
		"\x7f\u0080\u009f":       "\"\x7f\u0080\u009f\"",
		"é€😀\u2028\ufffd":        "\"é€😀\u2028\ufffd\"",
		"<&>'/":                  `"<&>'/"`,
	} {
		if got := string(AppendString([]byte("x"), in)); got != "x"+want {
			t.Errorf("%q: got %s, want x%s", in, got, want)
		}
	}
}

// FuzzAppendString: a strict reader reads every string as it was.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", `"\`, "\x00\x1f\x7f", "é€😀", "\u2028\u2029", strings.Repeat(`\"`, 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip("no UTF-8")
		}
		text := AppendString(nil, s)
		if !jsontext.Value(text).IsValid() {
			t.Fatalf("%q: %s is not JSON", s, text)
		}
		var got string
		if err := json.Unmarshal(text, &got); err != nil || got != s {
			t.Errorf("%q: %s reads as %q, %v", s, text, got, err)
		}
	})
}

func TestAppendJSONAllocations(t *testing.T) {
	buffer := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(1000, func() { buffer = recorded.AppendJSON(buffer[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
