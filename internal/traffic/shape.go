package traffic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/elrar/state-gateway/state"
)

// Shape is how a load's datagrams are written.
type Shape string

// The shapes.
const (
	Usual    Shape = "usual"    // the wire's order and spacing
	Compact  Shape = "compact"  // the wire's order without spaces
	Shuffled Shape = "shuffled" // the wire's spacing, each engine with an order of its own
	Mixed    Shape = "mixed"    // these three by turns, and some invalid ones
)

// Shapes lists them for messages and checks.
var Shapes = []Shape{Usual, Compact, Shuffled, Mixed}

// template is one engine's datagram with places of fixed width for what changes, so that a new one costs a few stores
// instead of a rendering. Its size never changes.
type template struct {
	bytes     []byte
	timestamp int   // position of the 13 digits of timestamp_ms
	sequence  int   // position of the 10 digits of pending_tokens_total
	latency   int   // position of 6 digits in the fraction of latency_pred_ms
	last      int64 // the newest timestamp
}

// firstSequence is the pending_tokens_total of an engine's first datagram: its sequence number is what it is above this,
// and always has ten digits for the first 9 billion.
const firstSequence = 1_000_000_000

var errTooLong = errors.New("the datagram does not fit into the size")

// newTemplate writes the datagram of an engine, padded with spaces to size bytes.
func newTemplate(engineID string, shape Shape, size int, random *rand.Rand) (*template, error) {
	fields := []string{
		`"engine_id": ` + string(state.AppendString(nil, engineID)),
		`"timestamp_ms": 1755532567495`,
		fmt.Sprintf(`"latency_pred_ms": %d.253122%09d`, 10+random.IntN(80), 1+random.IntN(999_999_999)),
		`"scheduling_mode": "latency_optimized"`,
		fmt.Sprintf(`"pending_tokens_total": %d`, firstSequence),
		fmt.Sprintf(`"kv_cache_free_blocks": %d`, random.IntN(8192)),
		`"kv_cache_total_blocks": 8192`,
		fmt.Sprintf(`"engine_capacity": %d.%010d`, 40_000+random.IntN(30_000), 1+random.IntN(999_999_999)),
	}
	if shape == Shuffled {
		random.Shuffle(len(fields), func(i, k int) { fields[i], fields[k] = fields[k], fields[i] })
	}
	text := "{" + strings.Join(fields, ", ") + "}"
	if shape == Compact {
		text = strings.ReplaceAll(strings.ReplaceAll(text, `": `, `":`), `, "`, `,"`)
	}
	if len(text) > size {
		return nil, fmt.Errorf("%w: %d bytes of %d", errTooLong, len(text), size)
	}
	text += strings.Repeat(" ", size-len(text))
	return &template{
		bytes:     []byte(text),
		timestamp: strings.Index(text, "1755532567495"),
		sequence:  strings.Index(text, fmt.Sprint(firstSequence)),
		latency:   strings.Index(text, ".253122") + 1,
	}, nil
}

// stamp makes the template the datagram of the given sequence number. Its timestamp is now, Unix ms, or later if need
// be: each is greater than the one before.
func (t *template) stamp(now, sequence int64) {
	t.last = max(now, t.last+1)
	putDigits(t.bytes[t.timestamp:t.timestamp+13], t.last)
	putDigits(t.bytes[t.sequence:t.sequence+10], firstSequence+sequence)
	putDigits(t.bytes[t.latency:t.latency+6], sequence*7919) // looks random, costs nothing
}

// putDigits writes the last len(dst) decimal digits of v.
func putDigits(dst []byte, v int64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

// damage makes dst, a valid datagram, an invalid one of the same size, of the kind-th kind.
func damage(dst []byte, kind int64) {
	switch kind % 4 {
	case 0:
		dst[0] = '['
	case 1:
		dst[len(dst)/2] = 0
	case 2:
		i := strings.Index(string(dst), "pending")
		dst[i] = 'P' // a missing field
	case 3:
		i := strings.Index(string(dst), "8192}")
		if i < 0 {
			i = strings.Index(string(dst), "8192,")
		}
		if i < 0 {
			dst[0] = '['
			return
		}
		copy(dst[i:], "81.2") // a fraction in an integer field
	}
}
