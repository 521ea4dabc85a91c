package top

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/elrar/state-gateway/client"
)

// column is one of the table's.
type column struct {
	title    string
	about    string
	min, max int  // cells; those that are not of one width take what their texts need
	rank     int  // the lower, the later it is left out
	right    bool // aligned
	text     func(e *client.Engine, now time.Time, width int) string
	number   func(e *client.Engine, now time.Time) float64 // to sort by, NaN if not known; nil sorts by text
}

// columns are in the order in which they are shown. Their place is the key that sorts by them.
var columns = []column{
	{title: "ENGINE", about: "engine_id",
		min: 20, max: 256, rank: 0,
		text: func(e *client.Engine, _ time.Time, _ int) string { return plain(e.EngineID) }},
	{title: "STATUS", about: "fresh, idle (alive, nothing to do), initializing (no work yet), stale (silent)",
		min: 12, max: 12, rank: 1,
		text: func(e *client.Engine, _ time.Time, _ int) string { return plain(string(e.Status)) }},
	{title: "MARKS", about: "conflict: several senders use this id; clock: how far the sender's is ahead of the gateway's",
		min: 8, max: 24, rank: 2,
		text: func(e *client.Engine, _ time.Time, _ int) string { return marks(e) }},
	{title: "LATENCY", about: "predicted latency of the next scheduling step",
		min: 9, max: 9, rank: 3, right: true,
		text:   func(e *client.Engine, _ time.Time, _ int) string { return decimal(e.LatencyPredMs) + " ms" },
		number: func(e *client.Engine, _ time.Time) float64 { return e.LatencyPredMs }},
	{title: "QUEUE", about: "tokens waiting",
		min: 7, max: 7, rank: 4, right: true,
		text:   func(e *client.Engine, _ time.Time, _ int) string { return count(float64(e.PendingTokensTotal)) },
		number: func(e *client.Engine, _ time.Time) float64 { return float64(e.PendingTokensTotal) }},
	{title: "KV", about: "KV cache in use",
		min: 5, max: 16, rank: 5, right: true, text: kvText,
		number: func(e *client.Engine, _ time.Time) float64 { return kvUse(e) }},
	{title: "AGE", about: "since the gateway heard of it",
		min: 6, max: 6, rank: 6, right: true,
		text:   func(e *client.Engine, now time.Time, _ int) string { return span(e.Age(now)) },
		number: func(e *client.Engine, now time.Time) float64 { return e.Age(now).Seconds() }},
	{title: "MODE", about: "scheduling mode",
		min: 8, max: 20, rank: 7,
		text: func(e *client.Engine, _ time.Time, _ int) string { return plain(e.SchedulingMode) }},
	{title: "CAPACITY", about: "tokens/s",
		min: 9, max: 9, rank: 8, right: true,
		text:   func(e *client.Engine, _ time.Time, _ int) string { return decimal(e.EngineCapacity) + "/s" },
		number: func(e *client.Engine, _ time.Time) float64 { return e.EngineCapacity }},
	{title: "EVERY", about: "observed time between two states",
		min: 9, max: 9, rank: 9, right: true,
		text: func(e *client.Engine, now time.Time, _ int) string {
			if e.PushIntervalMs == nil {
				return "-"
			}
			return decimal(*e.PushIntervalMs) + " ms"
		},
		number: func(e *client.Engine, now time.Time) float64 {
			if e.PushIntervalMs == nil {
				return math.NaN()
			}
			return *e.PushIntervalMs
		}},
	{title: "SOURCE", about: "sender of the newest state",
		min: 15, max: 47, rank: 10,
		text: func(e *client.Engine, _ time.Time, _ int) string {
			if e.SourceAddr == nil {
				return ""
			}
			return plain(*e.SourceAddr)
		}},
}

// muchSkew is the difference of clocks above which the gateway itself warns.
const muchSkew = time.Second

func skewed(e *client.Engine) bool {
	return max(e.ClockSkewMs, -e.ClockSkewMs) > muchSkew.Milliseconds()
}

// marks returns what should not be so.
func marks(e *client.Engine) string {
	var all []string
	if e.Conflict {
		all = append(all, "conflict")
	}
	if skewed(e) {
		sign := "-"
		if e.ClockSkewMs < 0 {
			sign = "+"
		}
		all = append(all, "clock "+sign+seconds(math.Abs(float64(e.ClockSkewMs))/1000))
	}
	return strings.Join(all, " ")
}

// seconds returns a time that may be longer than a Duration can be.
func seconds(s float64) string {
	if s > math.MaxInt32 {
		return decimal(s) + "s"
	}
	return span(time.Duration(s * float64(time.Second)))
}

// kvUse returns which share of the KV cache is used, 0 … 1, or NaN.
func kvUse(e *client.Engine) float64 {
	if e.KVCacheTotalBlocks <= 0 || e.KVCacheFreeBlocks < 0 {
		return math.NaN()
	}
	return max(0, 1-float64(e.KVCacheFreeBlocks)/float64(e.KVCacheTotalBlocks))
}

// kvText returns the use in percent, behind a bar where there is room for one.
func kvText(e *client.Engine, _ time.Time, width int) string {
	use := kvUse(e)
	if math.IsNaN(use) {
		return "-"
	}
	const percent, least = 5, 6 // cells, of a bar with the space behind it
	text := fmt.Sprintf("%.0f%%", 100*use)
	if room := width - percent; room >= least {
		text = fit(strings.Repeat("|", int(math.Round(use*float64(room)))), room, false) + fit(text, percent, true)
	}
	return text
}

// order compares two engines by a column; those of which it is not known come last in both directions, and equal ones
// by their ids.
func (c *column) order(a, b *client.Engine, now time.Time, reverse bool) int {
	result := 0
	if c.number == nil {
		result = natural(c.text(a, now, 0), c.text(b, now, 0))
	} else {
		x, y := c.number(a, now), c.number(b, now)
		if math.IsNaN(x) != math.IsNaN(y) {
			if math.IsNaN(x) {
				return 1
			}
			return -1
		}
		result = cmp.Compare(x, y)
	}
	if reverse {
		result = -result
	}
	return cmp.Or(result, natural(a.EngineID, b.EngineID), cmp.Compare(a.EngineID, b.EngineID))
}
