package api

import (
	"strings"
	"testing"
	"time"
)

// Each state that is served is counted once for each answer, by the time since its arrival.
func TestServedAges(t *testing.T) {
	w := newTestAPI(newFakeTable(
		heldAt("new", 1, at(10*time.Second)),
		heldAt("future", 1, at(11*time.Second)), // arrived after the answer's clock was read: 0
		heldAt("edge", 1, at(10*time.Second-50*time.Millisecond)),
		heldAt("older", 1, at(10*time.Second-50*time.Millisecond-1)),
		heldAt("stale", 1, at(0)),
	))
	get(t, w, "/v1/engine-states")
	get(t, w, "/v1/engine-states?stale=exclude")
	get(t, w, "/v1/engine-states?stale=wrong")
	get(t, w, "/v1/engines?status=stale")
	get(t, w, "/v1/engines?engine_id=edge")
	get(t, w, "/v1/engines?engine_id=none")
	text := get(t, w, "/metrics").Body.String()
	for _, want := range []string{
		`bucket{handler="engine_states",le="0.005"} 4`,
		`bucket{handler="engine_states",le="0.025"} 4`,
		`bucket{handler="engine_states",le="0.05"} 6`,
		`bucket{handler="engine_states",le="0.1"} 8`,
		`bucket{handler="engine_states",le="5"} 8`,
		`bucket{handler="engine_states",le="60"} 9`,
		`bucket{handler="engine_states",le="+Inf"} 9`,
		`count{handler="engine_states"} 9`,
		`sum{handler="engine_states"} 10.200000002`,
		`bucket{handler="engines",le="0.05"} 1`,
		`count{handler="engines"} 2`,
		`sum{handler="engines"} 10.05`,
		`count{handler="watch"} 0`,
	} {
		if !strings.Contains(text, "\nelrar_gateway_served_state_age_seconds_"+want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}

// A watcher's states count when it has taken them, with their age when they were encoded.
func TestServedAgesOfWatchers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.apply("a", 1)
		w.apply("b", 1)
		settle(20 * time.Millisecond)
		first, second := w.watch(""), w.watch("") // 20 ms, or 70 if it comes with the next tick
		settle(75 * time.Millisecond)
		w.apply("a", 2) // 25 ms before the tick
		settle(50 * time.Millisecond)
		if n := w.figure(`served_state_age_seconds_count{handler="watch"}`); n != 6 {
			t.Errorf("%v states, want 6", n)
		}
		if n := w.figure(`served_state_age_seconds_bucket{handler="watch",le="0.025"}`); n != 4 && n != 6 {
			t.Errorf("%v of them are 25 ms old at most", n)
		}
		if n := w.figure(`served_state_age_seconds_bucket{handler="watch",le="0.1"}`); n != 6 {
			t.Errorf("%v of them are 0.1 s old at most", n)
		}
		first.conn.Close()
		second.conn.Close()
	})
}
