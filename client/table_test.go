package client

import (
	"testing"
	"time"
)

// TestNewest: which of several gateways is believed.
func TestNewest(t *testing.T) {
	base := time.Now()
	one := func(timestampMs int64, heard time.Duration, known bool) *Engine {
		e := &Engine{State: State{TimestampMs: timestampMs}, Heard: base.Add(heard), StaleAfter: 2 * time.Second}
		if known {
			e.LoadTimestampMs = &timestampMs
		}
		return e
	}
	for name, c := range map[string]struct {
		said []*Engine
		want int64
	}{
		"one":                        {[]*Engine{one(5, 0, true)}, 5},
		"the higher timestamp":       {[]*Engine{one(5, 0, true), one(6, -900*time.Millisecond, true)}, 6},
		"the same in another order":  {[]*Engine{one(6, -900*time.Millisecond, true), one(5, 0, true)}, 6},
		"not of one that lost it":    {[]*Engine{one(5, 0, true), one(6, -1100*time.Millisecond, true)}, 5},
		"a real state before a beat": {[]*Engine{one(9, 0, false), one(5, -500*time.Millisecond, true)}, 5},
		"a beat when that is old":    {[]*Engine{one(9, 0, false), one(5, -1500*time.Millisecond, true)}, 9},
		"equal: the last to hear":    {[]*Engine{one(7, -300*time.Millisecond, true), one(7, 0, true)}, 7},
	} {
		if got := newest(c.said); got.TimestampMs != c.want {
			t.Errorf("%s: %d, want %d", name, got.TimestampMs, c.want)
		}
	}
	// It lives as long as it does for any of them.
	long := one(1, -800*time.Millisecond, true)
	long.StaleAfter = 10 * time.Second
	merged := newest([]*Engine{one(2, 0, true), long})
	if merged.TimestampMs != 2 || !merged.Heard.Equal(base) || !merged.staleAt().Equal(base.Add(9200*time.Millisecond)) {
		t.Errorf("%+v", merged)
	}
	if long.StaleAfter != 10*time.Second {
		t.Error("what a gateway said was changed")
	}
}

// TestParts: an engine goes when no gateway has it any more.
func TestParts(t *testing.T) {
	var tab table
	tab.divide(2)
	now := time.Now()
	say := func(part int, timestampMs int64) {
		tab.update(part, map[string]*told{"a": {Engine: Engine{State: State{EngineID: "a", TimestampMs: timestampMs}, Heard: now, StaleAfter: time.Second}}})
	}
	say(0, 1)
	say(1, 2)
	if got := tab.view["a"].TimestampMs; got != 2 {
		t.Errorf("%d", got)
	}
	tab.remove(1, []string{"a"})
	if got := tab.view["a"].TimestampMs; got != 1 {
		t.Errorf("%d", got)
	}
	tab.replace(0, nil, now.Add(time.Second)) // not heard of by a gateway that has restarted
	if tab.view["a"] == nil {
		t.Error("gone although not yet stale")
	}
	tab.replace(0, nil, now.Add(time.Second+1))
	if len(tab.view) != 0 {
		t.Errorf("%v", tab.view)
	}
}
