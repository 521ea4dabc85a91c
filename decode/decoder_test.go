package decode_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// usualState is what the usual datagram says.
var usualState = state.State{
	EngineID:           "http://172.17.0.3:8000",
	TimestampMs:        1755532567495,
	LatencyPredMs:      21.253122228102537,
	SchedulingMode:     "latency_optimized",
	PendingTokensTotal: 0,
	KVCacheFreeBlocks:  -1,
	KVCacheTotalBlocks: -1,
	EngineCapacity:     59768.2749641796,
}

// changed returns usualState with some values changed.
func changed(change func(*state.State)) state.State {
	s := usualState
	change(&s)
	return s
}

// TestAccepted gives the values that are expected by themselves, not only as the reader has them. Go's constants are
// exact before they are rounded once, and independent of strconv.
func TestAccepted(t *testing.T) {
	shuffled := slices.Clone(usual)
	shuffled[0], shuffled[5], shuffled[3], shuffled[7] = shuffled[7], shuffled[3], shuffled[0], shuffled[5]
	long := strings.Repeat("i", 256)
	wide := strings.Repeat("😀", 64) // 256 bytes
	float := func(text string, want float64) (string, state.State) {
		return with(member{"latency_pred_ms", text}, member{"engine_capacity", text}),
			changed(func(s *state.State) { s.LatencyPredMs, s.EngineCapacity = want, want })
	}
	id := func(text, want string) (string, state.State) {
		return with(member{"engine_id", text}), changed(func(s *state.State) { s.EngineID = want })
	}
	mode := func(text, want string) (string, state.State) {
		return with(member{"scheduling_mode", text}), changed(func(s *state.State) { s.SchedulingMode = want })
	}
	same := func(text string) (string, state.State) { return text, usualState }
	type pair struct {
		payload string
		want    state.State
	}
	of := func(payload string, want state.State) pair { return pair{payload, want} }
	negativeZero := math.Copysign(0, -1)

	for name, test := range map[string]pair{
		"usual":                 of(same(text(usual...))),
		"compact":               of(same(spaced(",", ":", usual...))),
		"shuffled":              of(same(text(shuffled...))),
		"trailing newline":      of(same(text(usual...) + "\n")),
		"trailing CR LF":        of(same(text(usual...) + "\r\n")),
		"white space all over":  of(same(" \t\r\n" + spaced(" \n,\t ", "\r : ", usual...) + "\t\t \n")),
		"extra fields":          of(same(plus(member{"version", `"1.2"`}, member{"gpus", `[1, {"a": [null, true, false]}]`}))),
		"extra field first":     of(same(text(slices.Concat([]member{{"v", "1"}}, usual)...))),
		"extra field twice":     of(same(plus(member{"v", "1"}, member{"v", `"2"`}))),
		"extra twice, escaped":  of(same(plus(member{"v", "1"}, member{`\u0076`, `1`}))),
		"extra without a name":  of(same(plus(member{"", "{}"}))),
		"extra overflow":        of(same(plus(member{"v", "1e999"}, member{"w", "-1e999"}))),
		"extra huge integer":    of(same(plus(member{"v", strings.Repeat("9", 400)}))),
		"extra underflow":       of(same(plus(member{"v", "1e-999"}))),
		"extra control string":  of(same(plus(member{"v", `"\u0000\u007f\u0085` + "\u0085\x7f" + `"`}))),
		"extra control name":    of(same(plus(member{`\u0000`, "1"}))),
		"extra long":            of(same(plus(member{strings.Repeat("v", 300), `"` + strings.Repeat("w", 3000) + `"`}))),
		"extra of other case":   of(same(plus(member{"Engine_ID", "1"}, member{"TIMESTAMP_MS", "null"}))),
		"the eight, nested":     of(same(plus(member{"v", text(usual...)}))),
		"one name twice nested": of(same(plus(member{"v", `{"engine_id": 1, "engine_id": 2}`}))),
		"objects to level 300":  of(same(plus(member{"v", strings.Repeat(`{"":`, 298) + "1" + strings.Repeat("}", 298)}))),
		"arrays to level 300":   of(same(plus(member{"v", nested(299)}))),
		"scalar at level 300":   of(same(plus(member{"v", strings.Repeat("[", 298) + "1" + strings.Repeat("]", 298)}))),
		"wide, not deep":        of(same(plus(member{"v", "[" + strings.Repeat("[],", 400) + "[]]"}))),

		"escaped name":       of(same(renamed("engine_id", `\u0065ngine_i\u0064`))),
		"escaped names":      of(same(strings.ReplaceAll(text(usual...), "_", `\u005F`))), // the mode has one too
		"escapes in a value": of(id(`"\"\\\/\u0041\u00e9\u00E9"`, `"\/Aéé`)),
		"backslash at end":   of(id(`"a\\"`, `a\`)),
		"quote at end":       of(id(`"a\\\""`, `a\"`)),
		"only quotes":        of(id(`"\"\""`, `""`)),
		"surrogate pair":     of(id(`"\ud83d\ude00\uD83D\uDE00"`, "😀😀")),
		"outer surrogates":   of(id(`"\ud800\udc00\udbff\udfff"`, "\U00010000\U0010FFFF")),
		"surrogate neighbours": of(id(`"\ud7ff\ue000\uffff`+"\ud7ff\ue000\uffff"+`"`,
			"\ud7ff\ue000\uffff\ud7ff\ue000\uffff")),
		"escape that is none":  of(id(`"\\ud800"`, `\ud800`)),
		"raw UTF-8":            of(id(`"é€😀"`, "é€😀")),
		"not quite control":    of(id(`" ~`+"\u00a0"+`\u0020\u00a0"`, " ~\u00a0 \u00a0")),
		"line separators":      of(id(`"`+"\u2028\u2029\ufeff"+`"`, "\u2028\u2029\ufeff")),
		"id of 1":              of(id(`"x"`, "x")),
		"id of 256":            of(id(`"`+long+`"`, long)),
		"id of 256, wide":      of(id(`"`+wide+`"`, wide)),
		"id of 256, escaped":   of(id(`"`+strings.Repeat(`\u0069`, 256)+`"`, long)),
		"mode of 64":           of(mode(`"`+long[:64]+`"`, long[:64])),
		"mode of 64, escaped":  of(mode(`"`+strings.Repeat(`\ud83d\ude00`, 16)+`"`, wide[:64])),
		"other mode":           of(mode(`"whatever"`, "whatever")),
		"name as value":        of(mode(`"engine_id"`, "engine_id")),
		"punctuation as value": of(mode(`"},{\"a\":[1e"`, `},{"a":[1e`)),

		"integers for numbers": of(float("7", 7)),
		"zero":                 of(float("0", 0)),
		"zero with exponent":   of(float("0e5", 0)),
		"zero, huge exponent":  of(float("0e99999999999999999999", 0)),
		"-0":                   of(float("-0", negativeZero)),
		"-0.0":                 of(float("-0.0", negativeZero)),
		"-0E-0":                of(float("-0E-0", negativeZero)),
		"3e-05":                of(float("3e-05", 3e-05)),
		"1.5E+3":               of(float("1.5E+3", 1500)),
		"1e22":                 of(float("1e22", 1e22)),
		"1e23":                 of(float("1e23", 1e23)),
		"8.41e21":              of(float("8.41e21", 8.41e21)),
		"9007199254740993":     of(float("9007199254740993", 9007199254740992)),
		"2^53 + 1 and a bit":   of(float("9007199254740993.00000000000000000001", 9007199254740994)),
		"smallest":             of(float("5e-324", math.SmallestNonzeroFloat64)),
		"largest subnormal":    of(float("2.225073858507201e-308", 2.225073858507201e-308)),
		"largest":              of(float("1.7976931348623157e308", math.MaxFloat64)),
		"largest, rounded":     of(float("1.7976931348623158e308", math.MaxFloat64)),
		"underflow":            of(float("1e-999", 0)),
		"negative underflow":   of(float("-1e-999", negativeZero)), // reads as -0 everywhere
		"long fraction":        of(float("0.1"+strings.Repeat("0", 800)+"1", 0.1)),
		"long integer":         of(float("1"+strings.Repeat("0", 300), 1e300)),
		"many digits": of(float("21.25312222810253712345678901234567890123456789012345678901234567890",
			21.25312222810253712345678901234567890123456789012345678901234567890)),

		"largest integers": of(with(member{"timestamp_ms", "9007199254740992"}, member{"pending_tokens_total", "9007199254740992"},
			member{"kv_cache_free_blocks", "9007199254740992"}, member{"kv_cache_total_blocks", "9007199254740991"}),
			changed(func(s *state.State) {
				s.TimestampMs, s.PendingTokensTotal, s.KVCacheFreeBlocks = 1<<53, 1<<53, 1<<53
				s.KVCacheTotalBlocks = 1<<53 - 1
			})),
		"smallest integers": of(with(member{"timestamp_ms", "0"}, member{"pending_tokens_total", "-0"},
			member{"kv_cache_free_blocks", "-1"}, member{"kv_cache_total_blocks", "-0"}),
			changed(func(s *state.State) { s.TimestampMs, s.KVCacheTotalBlocks = 0, 0 })),
	} {
		t.Run(name, func(t *testing.T) {
			c := newComparison()
			got := c.check(t, []byte(test.payload))
			if got.reason != state.Accepted {
				t.Fatalf("%q: %v", test.payload, got.reason)
			}
			var s state.State
			if c.decoder.Decode([]byte(test.payload), &s); !sameBits(s, test.want) {
				t.Fatalf("%q:\ngot  %+v\nwant %+v", test.payload, s, test.want)
			}
		})
	}
	for i, payload := range valid() {
		if got := newComparison().check(t, []byte(payload)); got.reason != state.Accepted {
			t.Errorf("valid datagram %d, %q: %v", i, payload, got.reason)
		}
	}
}

// refusals checks that payloads are refused for the reason.
func refusals(t *testing.T, reason state.Reason, payloads ...string) {
	t.Helper()
	c := newComparison()
	for _, payload := range payloads {
		if got := c.check(t, []byte(payload)); got.reason != reason {
			t.Errorf("%q: %v, want %v", payload, got.reason, reason)
		}
	}
}

// each returns the usual datagram with each of the values in each of the fields named.
func each(names []string, values ...string) []string {
	var all []string
	for _, name := range names {
		for _, value := range values {
			all = append(all, with(member{name, value}))
		}
	}
	return all
}

// anywhere is each for every field and for an unknown one, alone and within an array and an object.
func anywhere(values ...string) []string {
	all := each(theEight, values...)
	for _, value := range values {
		all = append(all, plus(member{"v", value}), plus(member{"v", "[0, " + value + "]"}), plus(member{"v", `{"w": ` + value + "}"}))
	}
	return all
}

// inStrings returns datagrams that have each of the raw texts in a string of the eight, in an unknown one, and in a name.
func inStrings(texts ...string) []string {
	var all []string
	for _, s := range texts {
		all = append(all,
			with(member{"engine_id", `"a` + s + `z"`}),
			with(member{"scheduling_mode", `"` + s + `"`}),
			plus(member{"v", `["` + s + `"]`}),
			plus(member{"v" + s, `1`}),
			plus(member{"v", `{"` + s + `": 1}`}),
			renamed("engine_capacity", "engine_capacity"+s))
	}
	return all
}

func TestEmpty(t *testing.T) {
	refusals(t, state.Empty, "")
	var s state.State
	if got := decode.New().Decode(nil, &s); got != state.Empty {
		t.Errorf("nil: %v", got)
	}
}

func TestMalformed(t *testing.T) {
	whole := text(usual...)
	inner := whole[1 : len(whole)-1]

	t.Run("not one object", func(t *testing.T) {
		refusals(t, state.JSON, " ", "\n", "\x00", "null", "true", "1", `"engine_id"`, "[]", "["+whole+"]", `"`+whole+`"`,
			inner, "x", "{", "}", "{}}", "{{}}", "]", "["+inner+"]", "("+inner+")")
	})
	t.Run("cut short", func(t *testing.T) {
		for n := 1; n < len(whole); n++ {
			refusals(t, state.JSON, whole[:n], whole[:n]+"\n")
		}
	})
	t.Run("trailing", func(t *testing.T) {
		for _, tail := range []string{"x", "0", ",", "}", "]", "{}", "null", "\x00", "\x1a", "\v", "\f", "\u00a0", "\ufeff", "//", "\xff", whole} {
			refusals(t, state.JSON, whole+tail, whole+"\n"+tail, whole+tail+" ")
		}
	})
	t.Run("leading", func(t *testing.T) {
		for _, head := range []string{"x", ",", "{", "[", "\x00", "\v", "\f", "\u00a0", "\ufeff", "\xff\xfe", ")]}'"} {
			refusals(t, state.JSON, head+whole, head+" "+whole)
		}
	})
	t.Run("punctuation", func(t *testing.T) {
		refusals(t, state.JSON,
			"{"+inner+",}", "{,"+inner+"}", "{"+inner+",,}", "{"+inner+" \"v\": 1}", "{"+inner+"; \"v\": 1}",
			strings.Replace(whole, ", ", ",, ", 1), strings.Replace(whole, ", ", " ", 1), strings.Replace(whole, ":", "", 1),
			strings.Replace(whole, ":", "::", 1), strings.Replace(whole, ":", "=", 1), strings.Replace(whole, ":", ",", 1),
			strings.ReplaceAll(whole, `"`, `'`), strings.Replace(whole, `"engine_id"`, `engine_id`, 1),
			strings.Replace(whole, `"engine_id"`, `1`, 1), strings.Replace(whole, `"engine_id"`, `null`, 1),
			"{/**/"+inner+"}", "{"+inner+"//\n}", "{"+inner+", 1}", "{"+inner+`, "v"}`, "{"+inner+`, "v":}`, "{"+inner+`, :1}`,
			"{"+inner+"]", "{"+inner+`, "v": [}`, "{"+inner+`, "v": {]}`, "{"+inner+`, "v": [1}]`, "{"+inner+`, "v": {"w": 1]}`,
			"{"+inner+`, "v": [1,]}`, "{"+inner+`, "v": [,1]}`, "{"+inner+`, "v": [1 2]}`, "{"+inner+`, "v": [1:2]}`,
			"{"+inner+`, "v": {"w": 1,}}`, "{"+inner+`, "v": {"w"}}`, "{"+inner+`, "v": {1: 1}}`, "{"+inner+`, "v": 1 1}`,
			"{\v"+inner+"}", "{"+inner+"\f}", "{\u00a0"+inner+"}", "{"+inner+"\u2028}", "{\x00"+inner+"}")
	})
	t.Run("numbers", func(t *testing.T) {
		refusals(t, state.JSON, anywhere("NaN", "nan", "-NaN", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "Inf",
			"01", "-01", "00", "-00", "00.5", "01e5", "1.", "-1.", "0.", ".5", "-.5", "1.e5", ".", "-", "+", "+1", "--1", "-+1",
			"1e", "1E", "1e+", "1e-", "1.5e", "1e5.5", "1e5e5", "1.2.3", "1-2", "1+2", "e5", "0x10", "0X1p3", "1_000", "1,000",
			"1f", "1n", "0b1", "0o7", "- 1", "1 .5", "1e 5", "１", "٣", "−1")...)
	})
	t.Run("words", func(t *testing.T) {
		refusals(t, state.JSON, anywhere("", "True", "TRUE", "False", "None", "NULL", "nul", "tru", "fals", "nulll", "truefalse",
			"undefined", "t", "n", "f", "x", "$", `\u0031`, "\x00")...)
	})
	t.Run("control characters", func(t *testing.T) {
		for c := range ' ' {
			refusals(t, state.JSON, inStrings(string(c))...)
		}
	})
	t.Run("UTF-8", func(t *testing.T) {
		broken := []string{"\x80", "\xbf", "\xff", "\xfe", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x80\x80", "\xe2\x82", "\xe2\x28\xa1",
			"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", "\xf0\x80\x80\x80", "\xf0\x9f\x98", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe9"}
		refusals(t, state.JSON, inStrings(broken...)...)
		refusals(t, state.JSON, anywhere(broken...)...)
		for _, b := range broken {
			refusals(t, state.JSON, whole+b, b+whole, "{"+b+inner+"}")
		}
	})
	t.Run("escapes", func(t *testing.T) {
		refusals(t, state.JSON, inStrings(`\x41`, `\'`, `\a`, `\v`, `\0`, `\e`, `\U0041`, `\ `, `\u`, `\u1`, `\u12`, `\u123`, `\u123g`, `\u123G`, `\u123/`, `\u123:`, `\u123@`, "\\u123`",
			`\u 123`, `\u+123`, `\u-123`, `\u0x41`, `\u{41}`, `\u123"`, `\`+"\n", `\`+"é", `\`+"\x00")...)
		refusals(t, state.JSON, with(member{"engine_id", `"a\"`}), with(member{"engine_id", `"\\\"`}), `{"a\`, `{"\`, `{"a":"\u00`, `{"\ud83d\u`)
	})
	t.Run("surrogates", func(t *testing.T) {
		refusals(t, state.JSON, inStrings(`\ud800`, `\udbff`, `\udc00`, `\udfff`, `\uD800`, `\uDFFF`, `\ud800x`, `\ud800 \udc00`, `\ud800\n`,
			`\ud800\\udc00`, `\ud800\u0041`, `\ud800\ud800`, `\ud800\ud800\udc00`, `\udc00\ud800`, `\ud83d\ude00\ude00`, `\ud800\ue000`,
			`\ud800\udbff`, `\ud800\u`, `\ud800\udc0`, `\ud800/udc00`, `\ud83d`+"\U0001F600")...)
	})
	t.Run("depth", func(t *testing.T) {
		object := func(n int) string { return strings.Repeat(`{"a":`, n) + "{}" + strings.Repeat("}", n) }
		refusals(t, state.JSON, plus(member{"v", nested(300)}), plus(member{"v", nested(2000)}), plus(member{"v", object(299)}),
			plus(member{"v", strings.Repeat("[", 299) + "1" + strings.Repeat("]", 299)}),
			plus(member{"v", strings.Repeat("[", 299) + `"a"` + strings.Repeat("]", 299)}),
			with(member{"engine_id", nested(300)}), nested(301), object(300),
			strings.Repeat("[", 60_000), "{"+strings.Repeat(`"":{`, 15_000), strings.Repeat("{", 60_000))
	})
}

func TestDuplicateField(t *testing.T) {
	for _, m := range usual {
		escaped := fmt.Sprintf(`\u%04x%s`, m.name[0], m.name[1:])
		refusals(t, state.DuplicateField, plus(m), plus(m, m), plus(member{m.name, "null"}), plus(member{escaped, m.value}),
			text(slices.Concat([]member{{escaped, "[]"}}, usual)...))
	}
}

func TestMissingField(t *testing.T) {
	refusals(t, state.MissingField, "{}", " { } ", `{"test":"data"}`, `{"v": `+text(usual...)+`}`)
	for _, name := range theEight {
		refusals(t, state.MissingField, without(name), renamed(name, strings.ToUpper(name)), renamed(name, name+" "), renamed(name, ""),
			renamed(name, " "+name), renamed(name, name+`\u0000`), renamed(name, `\\u`+name), renamed(name, strings.ReplaceAll(name, "_", "")),
			renamed(name, name[:1]), renamed(name, strings.ToUpper(name[:1])+name[1:]), renamed(name, name+"\u0301"), renamed(name, name+"s"))
	}
	refusals(t, state.MissingField, renamed("timestamp_ms", "timeſtamp_ms"), renamed("kv_cache_free_blocks", "\u212av_cache_free_blocks"))
}

func TestType(t *testing.T) {
	refusals(t, state.Type, each(theEight, "null", "true", "false", "[]", "{}", "[1]", `["x"]`, `{"engine_id": "x"}`, nested(299))...)
	refusals(t, state.Type, each(texts, "0", "-1", "1.5", "1e999")...)
	refusals(t, state.Type, each(numbers, `""`, `"1"`, `"NaN"`, `"1.5"`)...)
	refusals(t, state.Type, each(integers, "1.0", "0.0", "-0.0", "1.5", "1e2", "1E2", "1e+2", "1e0", "0e0", "100e-2", "1e999", "-1e999", "1e-999",
		"99999999999999999999.5", "-5.5", strings.Repeat("9", 400)+".0", strings.Repeat("9", 400)+"e0")...)
}

func TestRange(t *testing.T) {
	refusals(t, state.Range, each(counts, "-1", "-2")...)
	refusals(t, state.Range, each(blocks, "-2", "-10")...)
	refusals(t, state.Range, each(integers, "9007199254740993", "-9007199254740993", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "18446744073709551615", "18446744073709551616", "18446744073709551617", "184467440737095516160",
		"-18446744073709551616", "36893488147419103232", "340282366920938463463374607431768211456", strings.Repeat("9", 1000), "-"+strings.Repeat("9", 1000),
		"1"+strings.Repeat("0", 64))...)
	refusals(t, state.Range, each(floats, "-1", "-0.5", "-5e-324", "-1e308", "1e309", "1.7976931348623159e308", "1e999", "-1e999",
		"1e99999999999999999999", strings.Repeat("9", 400), "0.1e400")...)
	refusals(t, state.Range, with(member{"engine_id", `""`}), with(member{"scheduling_mode", `""`}),
		with(member{"engine_id", `"` + strings.Repeat("i", 257) + `"`}),
		with(member{"engine_id", `"` + strings.Repeat("i", 255) + `é"`}),
		with(member{"engine_id", `"` + strings.Repeat(`\u00e9`, 129) + `"`}),
		with(member{"engine_id", `"` + strings.Repeat("i", 4000) + `"`}),
		with(member{"scheduling_mode", `"` + strings.Repeat("m", 65) + `"`}),
		with(member{"scheduling_mode", `"` + strings.Repeat(`\ud83d\ude00`, 17) + `"`}))
	for r := range rune(0xA0) {
		if r >= ' ' && r <= '~' {
			continue
		}
		escaped := fmt.Sprintf(`\u%04x`, r)
		refusals(t, state.Range, each(texts, `"`+escaped+`"`, `"a`+escaped+`"`, `"é`+escaped+`b"`)...)
		if r >= 0x7F {
			refusals(t, state.Range, each(texts, `"`+string(r)+`"`, `"a`+string(r)+`"`, `"é`+string(r)+`b"`)...)
		}
	}
	refusals(t, state.Range, each(texts, `"\b"`, `"\f"`, `"\n"`, `"\r"`, `"a\tb"`)...)
}

// TestFirstReason has several faults at once, in the order in which the first one counts.
func TestFirstReason(t *testing.T) {
	bad := map[state.Reason][]member{
		state.DuplicateField: {{"engine_id", `"x"`}, {"engine_id", `"x"`}},
		state.Type:           {{"timestamp_ms", `"x"`}},
		state.Range:          {{"engine_capacity", `-1`}},
	}
	rest := []member{{"scheduling_mode", `"m"`}, {"pending_tokens_total", "1"}, {"kv_cache_free_blocks", "1"}, {"kv_cache_total_blocks", "1"}}
	good := map[state.Reason][]member{
		state.DuplicateField: {{"engine_id", `"x"`}},
		state.MissingField:   {{"latency_pred_ms", "1"}},
		state.Type:           {{"timestamp_ms", `1`}},
		state.Range:          {{"engine_capacity", `1`}},
	}
	order := []state.Reason{state.JSON, state.DuplicateField, state.MissingField, state.Type, state.Range}
	for set := range 1 << len(order) {
		want := state.Accepted
		members := slices.Clone(rest)
		end := ""
		for i, reason := range order {
			part := good[reason]
			if set>>i&1 != 0 {
				part = bad[reason]
				if want == state.Accepted {
					want = reason
				}
				if reason == state.JSON {
					end = "x"
				}
			}
			members = append(members, part...)
		}
		backwards := slices.Clone(members)
		slices.Reverse(backwards)
		refusals(t, want, text(members...)+end, text(backwards...)+end)
	}

	refusals(t, state.JSON, `{"engine_id": 01}`, plus(usual[0], member{"v", "\xff"}), plus(usual[0], member{"v", nested(300)}), with(member{"timestamp_ms", "-01.5"}))
	refusals(t, state.DuplicateField, `{"engine_id": 1, "engine_id": 2}`, `{"engine_capacity": -1, "engine_capacity": null}`)
	refusals(t, state.MissingField, `{"engine_id": 1}`, `{"engine_id": ""}`, `{"engine_id": "", "v": 1, "v": 1}`)
	refusals(t, state.Type, with(member{"engine_id", `""`}, member{"engine_capacity", "null"}), with(member{"timestamp_ms", "-1"}, member{"pending_tokens_total", "1.5"}),
		with(member{"engine_id", "null"}, member{"engine_capacity", "1e999"}), with(member{"timestamp_ms", "-1.5"}))
	refusals(t, state.Range, with(member{"engine_id", `""`}, member{"engine_capacity", "1e999"}))
}

func TestVerbatim(t *testing.T) {
	line := text(usual...)
	compact := spaced(",", ":", usual...)
	escaped := renamed("engine_id", `\u0065ngine_id`)
	unknown := []member{{"v", "{}"}, {"w", `"a,b"`}}
	odd := with(member{"latency_pred_ms", "3e-05"}, member{"pending_tokens_total", "-0"}, member{"engine_id", `"\u0041\/` + "\u2028" + `"`})
	for payload, want := range map[string]string{
		line:                             line,
		line + "\n":                      line,
		" \t\r\n" + line + "\r\n\t ":     line,
		compact:                          compact,
		compact + "\n":                   compact,
		escaped:                          escaped,
		odd:                              odd,
		spaced("  ,  ", " : ", usual...): spaced("  ,  ", " : ", usual...),

		spaced(",\n", ":", usual...):         "",
		spaced(",\r", ":", usual...):         "",
		spaced(",", ":\t", usual...):         "",
		strings.Replace(line, "{", "{\n", 1): "",
		strings.Replace(line, "}", "\n}", 1): "",
		"{ \"v\":[1,\n2]," + line[1:]:        "",

		plus(member{"v", "1"}):                                      line,
		plus(member{"", "null"}):                                    line,
		plus(member{`Engine_id`, "null"}, member{"v", `"},{"`}):     line,
		plus(member{`engine_id `, "null"}) + "\n":                   line,
		text(slices.Concat([]member{{"v", "1"}}, usual)...):         line,
		text(slices.Insert(slices.Clone(usual), 3, unknown...)...):  line,
		text(slices.Concat(unknown, usual, unknown)...):             line,
		spaced(",", ":", slices.Concat(unknown, usual, unknown)...): compact,
		spaced(" , ", ":", slices.Concat(usual, unknown)...):        spaced(" , ", ":", usual...),
	} {
		c := newComparison()
		if got := c.check(t, []byte(payload)); got.reason != state.Accepted {
			t.Fatalf("%q: %v", payload, got.reason)
		}
		if got := c.decoder.Verbatim(); string(got) != want || got != nil != (want != "") {
			t.Errorf("%q: verbatim %q, want %q", payload, got, want)
		}
	}
}

// TestVerbatimOfTheLast has refused datagrams between accepted ones.
func TestVerbatimOfTheLast(t *testing.T) {
	d := decode.New()
	if got := d.Verbatim(); got != nil {
		t.Errorf("before the first: %q", got)
	}
	line := text(usual...)
	var s state.State
	for _, refused := range []string{"", "x", "{}", plus(usual[0]), without("engine_id"), with(member{"engine_id", "1"}), with(member{"engine_id", `""`}), line + "x"} {
		if reason := d.Decode([]byte(line), &s); reason != state.Accepted || string(d.Verbatim()) != line {
			t.Fatalf("%v, %q", reason, d.Verbatim())
		}
		if reason := d.Decode([]byte(refused), &s); reason == state.Accepted || d.Verbatim() != nil {
			t.Errorf("%q: %v, verbatim %q", refused, reason, d.Verbatim())
		}
	}
}

func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := newComparison()
	var line []byte
	for range length(50_000) {
		want := randomState(random)
		line = want.AppendJSON(line[:0])
		got := c.check(t, line)
		if got.reason != state.Accepted || !sameBits(got.state, want) {
			t.Fatalf("%q: %v\ngot  %+v\nwant %+v", line, got.reason, got.state, want)
		}
		if string(c.decoder.Verbatim()) != string(line) {
			t.Fatalf("%q: verbatim %q", line, c.decoder.Verbatim())
		}
	}
}

// randomState returns a state within the protocol's limits, its edges more often than by chance.
func randomState(random *rand.Rand) state.State {
	return state.State{
		EngineID:           randomText(random, 256),
		TimestampMs:        randomInteger(random, 0),
		LatencyPredMs:      randomFloat(random),
		SchedulingMode:     randomText(random, 64),
		PendingTokensTotal: randomInteger(random, 0),
		KVCacheFreeBlocks:  randomInteger(random, -1),
		KVCacheTotalBlocks: randomInteger(random, -1),
		EngineCapacity:     randomFloat(random),
	}
}

func randomInteger(random *rand.Rand, least int64) int64 {
	switch random.IntN(8) {
	case 0:
		return least
	case 1:
		return 1<<53 - random.Int64N(2)
	}
	return least + random.Int64N(1<<53-least+1)>>random.IntN(54)
}

func randomFloat(random *rand.Rand) float64 {
	switch random.IntN(8) {
	case 0:
		return math.Copysign(0, float64(random.IntN(2))-0.5)
	case 1:
		return float64(random.Int64N(1 << 60))
	case 2:
		return random.Float64() * 1e5
	case 3:
		return float64(random.IntN(100_000)) / 1000
	}
	for {
		if f := math.Float64frombits(random.Uint64() >> 1); !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
	}
}

func randomText(random *rand.Rand, most int) string {
	length := 1 + random.IntN(most)
	if random.IntN(4) == 0 {
		length = most
	}
	var b strings.Builder
	for b.Len() < length {
		r := ' ' + random.Int32N('~'-' '+1)
		switch random.IntN(8) {
		case 0:
			r = []rune(`"\/`)[random.IntN(3)]
		case 1:
			r = 0xA0 + random.Int32N(0x110000-0xA0)
		}
		if b.Len()+len(string(r)) <= length && (r < 0xD800 || r > 0xDFFF) {
			b.WriteRune(r)
		}
	}
	return b.String()
}
