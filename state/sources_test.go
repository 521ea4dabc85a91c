package state

import (
	"net/netip"
	"testing"
	"time"
)

func TestConflict(t *testing.T) {
	type arrival struct {
		after    time.Duration
		source   byte
		found    bool // NewConflict
		conflict bool // shown afterwards
	}
	const tick, second = 100 * time.Millisecond, time.Second
	for _, c := range []struct {
		name      string
		broadcast bool
		arrivals  []arrival
	}{
		{"one address", false, []arrival{{0, 'a', false, false}, {tick, 'a', false, false}, {tick, 'a', false, false}, {tick, 'a', false, false}}},
		{"a restart changes it once", false, []arrival{{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'b', false, false}, {tick, 'b', false, false}}},
		{"three restarts", false, []arrival{{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'c', false, false}, {tick, 'd', false, false}, {tick, 'd', false, false}}},
		{"three changes are not enough", false, []arrival{{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'b', false, false}}},
		{"four changes", false, []arrival{{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', true, true}, {tick, 'b', false, true}}},
		{"in runs", false, []arrival{
			{0, 'a', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false},
			{tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', true, true},
		}},
		{"within 10 s", false, []arrival{{0, 'a', false, false}, {tick, 'b', false, false}, {5 * second, 'a', false, false}, {4 * second, 'b', false, false}, {second, 'a', true, true}}},
		{"in more than 10 s", false, []arrival{
			{0, 'a', false, false}, {tick, 'b', false, false}, {5 * second, 'a', false, false}, {4 * second, 'b', false, false}, {second + 1, 'a', false, false}, {tick, 'b', true, true},
		}},
		{"three in turn", false, []arrival{
			{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'c', false, false}, {tick, 'a', false, false}, {tick, 'b', true, true}, {tick, 'c', false, true},
		}},
		{"three in any order", false, []arrival{
			{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'c', false, false}, {tick, 'a', true, true},
		}},
		{"a new one each time", false, []arrival{
			{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'c', false, false}, {tick, 'd', false, false}, {tick, 'e', true, true}, {tick, 'f', false, true},
		}},
		{"a new one every 2 s", false, []arrival{
			{0, 'a', false, false}, {2 * second, 'b', false, false}, {2 * second, 'c', false, false}, {2 * second, 'd', false, false}, {2 * second, 'e', true, true}, {2 * second, 'f', false, true},
		}},
		{"shown for a minute, found again afterwards", false, []arrival{
			{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', true, true},
			{60 * second, 'a', false, true}, {1, 'a', false, false},
			{tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', true, true},
		}},
		{"broadcast's copies differ in source", true, []arrival{
			{0, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false}, {tick, 'a', false, false}, {tick, 'b', false, false},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range []string{"newer", "duplicate", "out of order"} { // every valid state counts
				e := newEngine(Rules{StaleThreshold: 2 * time.Hour, HeartbeatMerge: true, WatchSources: !c.broadcast})
				for i, a := range c.arrivals {
					e.source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, a.source}), 4000)
					in, want := load(1000, 1), Applied
					switch {
					case kind == "newer":
						in.TimestampMs += int64(i)
					case kind == "duplicate" && i > 0:
						want = Duplicate
					case kind == "out of order" && i > 0:
						in.TimestampMs -= int64(i)
						want = OutOfOrder
					}
					if a.found {
						want |= NewConflict
					}
					if got := e.send(t, in, a.after); got != want || e.h.Conflict(e.now) != a.conflict {
						t.Errorf("%s, arrival %d: outcome %b, conflict %v; want %b, %v", kind, i, got, e.h.Conflict(e.now), want, a.conflict)
					}
				}
			}
		})
	}
}
