package decode_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/state"
)

// mutations is how many damaged datagrams TestMutations decodes.
const mutations = 1_000_000

// pieces are what mutations insert, beside random bytes.
var pieces = slices.Concat(
	strings.Fields(`{ } [ ] , : " \ - + . 0 9 e E null true false NaN Infinity [] {} "" [0] {"":0} [[[[ ]]]] ,, ::
		-0 -1 -2 00 01 1. .5 1.0 1.5 -0.0 -5e-324 1e2 1E+2 3e-05 1e309 1e999 -1e999 1e-999 9007199254740992 9007199254740993
		18446744073709551616 0.1e-7 123456789012345678901234567890 \u0041 \u0065 \u0000 \u007f \u0080 \u009f \u00a0 \ud800 \udc00 \ud83d\ude00
		\ude00\ud83d \u \u12 \x \" \\ \/ \b \n \t "x":1, ,"x":1 "x":null, :1, "a","b" "v":{"w":[1,{"x":"y"}]},`),
	[]string{" ", "\t", "\r", "\n", "  \r\n", "\x00", "\x1f", "\x7f", "\u0080", "\u0085", "\u009f", "\u00a0", "é", "😀", "\u2028", "\ufeff",
		"\xc2", "\x80", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"},
	quoted(theEight), quoted([]string{"Engine_id", "engine_id ", `engine\u005fid`, "timestamp", strings.Repeat("m", 64), strings.Repeat("i", 256)}),
)

// values are what mutations put in the place of whole values. Most are valid JSON.
var values = slices.Concat(
	strings.Fields(`null true [] {} "" "x" 0 1 -1 -2 -0 7 1.0 1.5 -0.0 -0.5 1e2 3e-05 5e-324 1e309 1e999 -1e999 1e-999 9007199254740992
		9007199254740993 -9007199254740993 18446744073709551617 123456789012345678901234567890 0.30000000000000004 1E+2 01 1. NaN
		"\u0041" "\u0000" "\u0085" "\u00a0" "\ud83d\ude00" "\ud800" "\n" "\"" "\\" "engine_id" [1,{"engine_id":2}] {"timestamp_ms":null}`),
	[]string{"\"\u0085\"", "\"\u00a0\"", "\"\x7f\"", "\"\t\"", "\"😀 é\"", "\"\xff\""},
	[]string{`"` + strings.Repeat("m", 64) + `"`, `"` + strings.Repeat("m", 65) + `"`, `"` + strings.Repeat("é", 128) + `"`, `"` + strings.Repeat("é", 129) + `"`},
)

// quoted returns each of the names as a string, as a name, and as a whole member.
func quoted(names []string) []string {
	var all []string
	for _, name := range names {
		all = append(all, `"`+name+`"`, `"`+name+`":`, `,"`+name+`":1`, `"`+name+`":"x",`)
	}
	return all
}

// A mutator damages datagrams at random.
type mutator struct {
	*rand.Rand
	valid [][]byte
	out   []byte
}

func newMutator(seed uint64) *mutator {
	m := &mutator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for _, payload := range valid() {
		m.valid = append(m.valid, []byte(payload))
	}
	return m
}

// next returns a valid datagram with up to four mutations: half of them of its members, which leave much of it valid
// JSON, half of its bytes, which do not. It is overwritten by the next one.
func (m *mutator) next() []byte {
	m.out = append(m.out[:0], m.any()...)
	mutate := m.mutateMembers
	if m.IntN(2) == 0 {
		mutate = m.mutateBytes
	}
	for range 1 + m.IntN(4) {
		mutate()
	}
	return m.out
}

// mutateMembers takes out[at:end] for a member. It looks for commas and colons only, so it may be wrong.
func (m *mutator) mutateMembers() {
	at := m.seek(m.out, m.IntN(len(m.out)+1), ',')
	if at == len(m.out) {
		return
	}
	end := m.seek(m.out, at+1, ',')
	if end == at+1 {
		end = m.seek(m.out, at, '}')
	}
	switch m.IntN(8) {
	case 0: // delete
		if m.IntN(4) == 0 {
			m.replace(at, end, "")
		}
	case 1: // duplicate
		if m.IntN(4) == 0 {
			m.replace(end, end, string(m.out[at:end]))
		}
	case 2: // another one that is not of the eight
		m.replace(at, at, `,"v":`+m.value())
	case 3: // an escape in the name
		if i := m.seek(m.out, at, '"') + 1; i < end && m.out[i] >= 'a' {
			m.replace(i, i+1, fmt.Sprintf(`\u%04x`, m.out[i]))
		}
	default: // another value
		if colon := m.seek(m.out, at, ':'); at < colon && colon < end {
			m.replace(colon+1, end, m.value())
		}
	}
}

func (m *mutator) any() []byte {
	if m.IntN(3) == 0 {
		return m.valid[0] // the usual one
	}
	return m.valid[m.IntN(len(m.valid))]
}

func (m *mutator) mutateBytes() {
	at, end := m.span(m.out, 24)
	switch m.IntN(12) {
	case 0: // flip a bit
		if at < len(m.out) {
			m.out[at] ^= 1 << m.IntN(8)
		}
	case 1: // set a byte
		if at < len(m.out) {
			m.out[at] = byte(m.Uint32())
		}
	case 2: // delete
		m.replace(at, end, "")
	case 3: // duplicate in place
		m.replace(end, end, string(m.out[at:end]))
	case 4: // duplicate elsewhere
		to := m.IntN(len(m.out) + 1)
		m.replace(to, to, string(m.out[at:end]))
	case 5: // insert
		m.replace(at, at, m.piece())
	case 6: // overwrite
		m.replace(at, end, m.piece())
	case 7: // another number
		if at, end := m.run("0123456789.-+eE"); end > at {
			m.replace(at, end, m.piece())
		}
	case 8: // in a name or a string
		if at, end := m.run("abcdefghijklmnopqrstuvwxyz_:/"); end > at {
			m.replace(end-m.IntN(2)*(end-at), end, m.piece())
		}
	case 9: // a span of another datagram
		other := m.any()
		from, to := m.span(other, 200)
		m.replace(at, end, string(other[from:to]))
	case 10: // splice with another datagram, at a comma of each as often as not
		other := m.any()
		from := m.IntN(len(other))
		if m.IntN(2) == 0 {
			at, from = m.seek(m.out, at, ','), m.seek(other, from, ',')
		}
		m.replace(at, len(m.out), string(other[from:]))
	case 11: // nest deeply; seldom, for it takes long
		if m.IntN(50) == 0 {
			n := 294 + m.IntN(10)
			at = m.seek(m.out, at, ',')
			m.replace(at, at, `,"n":`+strings.Repeat("[", n)+strings.Repeat("]", n-m.IntN(2)))
		}
	}
}

// piece returns something to insert.
func (m *mutator) piece() string { return pieces[m.IntN(len(pieces))] }

func (m *mutator) value() string { return values[m.IntN(len(values))] }

// replace puts with in the place of out[at:end].
func (m *mutator) replace(at, end int, with string) {
	m.out = slices.Replace(m.out, at, end, []byte(with)...)
}

// span returns a random span of b of up to most bytes.
func (m *mutator) span(b []byte, most int) (at, end int) {
	at = m.IntN(len(b) + 1)
	return at, min(at+m.IntN(most+1), len(b))
}

// seek returns the position of the next c from at on, or at.
func (m *mutator) seek(b []byte, at int, c byte) int {
	if i := slices.Index(b[at:], c); i >= 0 {
		return at + i
	}
	return at
}

// run returns the next run of characters of the set from a random position on.
func (m *mutator) run(set string) (at, end int) {
	in := func(c byte) bool { return strings.IndexByte(set, c) >= 0 }
	for at = m.IntN(len(m.out) + 1); at < len(m.out) && !in(m.out[at]); at++ {
	}
	for end = at; end < len(m.out) && in(m.out[end]); end++ {
	}
	return at, end
}

// TestMutations decodes a million damaged datagrams: none may make the decoder panic, none may be accepted where the
// independent reader refuses it, and none may differ in its reason or any value.
func TestMutations(t *testing.T) {
	n := length(mutations)
	const shares = 4 // fixed, so that every machine decodes the same
	totals := make([][state.Reasons]int, shares)
	t.Run("share", func(t *testing.T) {
		for share := range shares {
			t.Run(fmt.Sprint(share), func(t *testing.T) {
				t.Parallel()
				c, m := newComparison(), newMutator(uint64(share))
				for range n/shares + 1 {
					got := c.check(t, m.next())
					totals[share][got.reason]++
				}
			})
		}
	})

	var total [state.Reasons]int
	for share := range shares {
		for reason, count := range totals[share] {
			total[reason] += count
		}
	}
	for reason := state.Accepted; reason < state.EngineLimit; reason++ {
		t.Logf("%-15v %7d", reason, total[reason])
		if reason != state.Empty && reason != state.TooLarge && total[reason] < n/200 {
			t.Errorf("only %d of %d for %v: the mutations do not test it", total[reason], n, reason)
		}
	}
}
