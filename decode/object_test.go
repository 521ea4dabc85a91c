package decode_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/state"
)

// TestOrders has the eight fields in random order and spacing, unknown fields in every place, names with escapes, and now
// and then a field twice or not at all.
func TestOrders(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	c := newComparison()
	unknown := []member{{"v", "1"}, {"", `""`}, {"w", `{"engine_id": "x", "v": [1, {"y": null}]}`}, {"engine_ix", "1e999"}, {"Engine_id", "-0.5"},
		{"kv_cache_total_blocks_", "[]"}, {`engine_i\u0064s`, "{}"}, {"latency_pred_ms ", "true"}, {strings.Repeat("n", 40), `"},{"`}, {"é", `"\ud83d\ude00"`}, {`\n`, "false"}}
	spaces := []string{"", " ", " ", " ", "  ", "\n", "\t "}
	var total [state.Reasons]int
	for range length(100_000) {
		members := slices.Clone(usual)
		if random.IntN(2) == 0 {
			random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		}
		for range random.IntN(4) {
			members = slices.Insert(members, random.IntN(len(members)+1), unknown[random.IntN(len(unknown))])
		}
		switch random.IntN(16) {
		case 0:
			members = slices.Insert(members, random.IntN(len(members)+1), members[random.IntN(len(members))])
		case 1:
			i := random.IntN(len(members))
			members = slices.Delete(members, i, i+1)
		case 2:
			members[random.IntN(len(members))].value = values[random.IntN(len(values))]
		}
		for range random.IntN(3) {
			m := &members[random.IntN(len(members))]
			if i := random.IntN(len(m.name) + 1); i < len(m.name) && m.name[i] >= '_' && m.name[i] <= 'z' && !strings.Contains(m.name, `\`) {
				m.name = m.name[:i] + fmt.Sprintf(`\u%04x`, m.name[i]) + m.name[i+1:]
			}
		}
		space := func() string { return spaces[random.IntN(len(spaces))] }
		got := c.check(t, []byte(space()+spaced(space()+","+space(), space()+":"+space(), members...)+space()))
		total[got.reason]++
	}
	for _, reason := range []state.Reason{state.Accepted, state.DuplicateField, state.MissingField, state.JSON} {
		if total[reason] == 0 {
			t.Errorf("none was %v", reason)
		}
	}
}

// TestEscapedNames has each name with each of its letters escaped, and all of them, as the field itself and as its double.
func TestEscapedNames(t *testing.T) {
	c := newComparison()
	for _, m := range usual {
		var names []string
		all := ""
		for i := range m.name {
			escape := fmt.Sprintf(`\u%04X`, m.name[i])
			all += escape
			names = append(names, m.name[:i]+escape+m.name[i+1:])
		}
		for _, name := range append(names, all) {
			if got := c.check(t, []byte(renamed(m.name, name))); got.reason != state.Accepted || got.extra {
				t.Errorf("%s: %v", name, got.reason)
			}
			refusals(t, state.DuplicateField, plus(member{name, "null"}), text(slices.Concat([]member{{name, "null"}}, usual)...))
			refusals(t, state.MissingField, renamed(m.name, name+"s"), renamed(m.name, "s"+name), renamed(m.name, name+`\u0073`), renamed(m.name, name+`\/`))
		}
	}
}

// TestShapes reads what the benchmarks measure, whole and cut short anywhere.
func TestShapes(t *testing.T) {
	c := newComparison()
	for _, shape := range slices.Concat(shapes(), hostile()) {
		if len(shape.payload) > hostileSize+64 {
			t.Errorf("%s: %d bytes", shape.name, len(shape.payload))
		}
		c.check(t, []byte(shape.payload))
		for cut := 1; cut < len(shape.payload); cut += 1 + len(shape.payload)/length(100) {
			c.check(t, []byte(shape.payload[:cut]))
		}
	}
	for _, shape := range shapes() {
		if got := c.check(t, []byte(shape.payload)); (got.reason == state.Accepted) != (shape.name != "refused") {
			t.Errorf("%s: %v", shape.name, got.reason)
		}
	}
}
