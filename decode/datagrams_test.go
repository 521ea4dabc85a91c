package decode_test

import (
	"slices"
	"strings"
)

// member is a member of a datagram: its name without quotes, escapes as they are, and the JSON text of its value.
type member struct{ name, value string }

// usual is the protocol's own example.
var usual = []member{
	{"engine_id", `"http://172.17.0.3:8000"`},
	{"timestamp_ms", `1755532567495`},
	{"latency_pred_ms", `21.253122228102537`},
	{"scheduling_mode", `"latency_optimized"`},
	{"pending_tokens_total", `0`},
	{"kv_cache_free_blocks", `-1`},
	{"kv_cache_total_blocks", `-1`},
	{"engine_capacity", `59768.2749641796`},
}

// The names by the type of their values.
var (
	texts    = []string{"engine_id", "scheduling_mode"}
	integers = []string{"timestamp_ms", "pending_tokens_total", "kv_cache_free_blocks", "kv_cache_total_blocks"}
	counts   = []string{"timestamp_ms", "pending_tokens_total"} // integers from 0 on
	blocks   = []string{"kv_cache_free_blocks", "kv_cache_total_blocks"}
	floats   = []string{"latency_pred_ms", "engine_capacity"}
	numbers  = slices.Concat(integers, floats)
)

// text returns a datagram of the members with the wire's own spacing.
func text(members ...member) string { return spaced(", ", ": ", members...) }

func spaced(comma, colon string, members ...member) string {
	var b strings.Builder
	for i, m := range members {
		if i > 0 {
			b.WriteString(comma)
		}
		b.WriteString(`"` + m.name + `"` + colon + m.value)
	}
	return "{" + b.String() + "}"
}

// with returns the usual datagram with other values.
func with(changes ...member) string {
	members := slices.Clone(usual)
	for _, change := range changes {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == change.name })
		members[i] = change
	}
	return text(members...)
}

// renamed returns the usual datagram with another name.
func renamed(name, other string) string {
	return strings.Replace(text(usual...), `"`+name+`"`, `"`+other+`"`, 1)
}

// without returns the usual datagram without some of its fields.
func without(names ...string) string {
	return text(slices.DeleteFunc(slices.Clone(usual), func(m member) bool { return slices.Contains(names, m.name) })...)
}

// plus returns the usual datagram with more members at its end.
func plus(more ...member) string { return text(slices.Concat(usual, more)...) }

// nested returns n arrays in each other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// valid returns valid datagrams of many shapes.
func valid() []string {
	shuffled := slices.Clone(usual)
	slices.Reverse(shuffled)
	return []string{
		text(usual...),
		spaced(",", ":", usual...),
		spaced(",", ":", usual...) + "\n",
		"\r\n\t " + spaced(" ,\n  ", "\t:\r", usual...) + " \t\r\n",
		text(shuffled...),
		plus(member{"version", `"2.1"`}, member{"gpus", `[{"id": 0, "used": 0.5}, null, true, false]`}),
		text(slices.Concat([]member{{"x", `1e999`}, {"x", `-0.0`}, {"", `{}`}}, shuffled)...),
		plus(member{"deep", nested(298)}),
		plus(member{"deep", nested(299)}),
		with(member{"engine_id", `"\u0065ngine \"\\\/ \ud83d\ude00 \u00e9"`}, member{"scheduling_mode", `"平衡"`}),
		renamed("engine_id", `\u0065ngine\u005fid`),
		with(member{"latency_pred_ms", `3e-05`}, member{"engine_capacity", `5.97682749641796E+4`}),
		with(member{"latency_pred_ms", `5e-324`}, member{"engine_capacity", `1.7976931348623157e308`}),
		with(member{"latency_pred_ms", `-0.0`}, member{"engine_capacity", `-0`}, member{"pending_tokens_total", `-0`}),
		with(member{"timestamp_ms", `9007199254740992`}, member{"kv_cache_free_blocks", `0`}, member{"kv_cache_total_blocks", `9007199254740992`}),
		with(member{"latency_pred_ms", `0`}, member{"engine_capacity", `0.0`}, member{"kv_cache_total_blocks", `81920`}),
		with(member{"engine_id", `"` + strings.Repeat("é", 128) + `"`}, member{"scheduling_mode", `"` + strings.Repeat("m", 64) + `"`}),
		plus(member{"note", `"` + strings.Repeat("n", 1500) + `"`}),
		`{"engine_id":"test","timestamp_ms":1000,"latency_pred_ms":10.5,"scheduling_mode":"balanced","pending_tokens_total":7,"kv_cache_free_blocks":5,"kv_cache_total_blocks":9,"engine_capacity":100}` + "\n",
	}
}
