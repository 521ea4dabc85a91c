package api

import (
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

func TestEngineStates(t *testing.T) {
	fresh := heldAt("http://a:8000", 1, at(9*time.Second))
	edge := heldAt("http://b:8000", 2, at(8*time.Second)) // as old as the threshold: not stale yet
	stale := heldAt("http://c:8000", 3, at(8*time.Second-1))
	future := heldAt("http://d:8000", 4, at(11*time.Second)) // arrived after the answer's clock was read
	h := newTestAPI(newFakeTable(fresh, edge, stale, future))
	for _, test := range []struct {
		target string
		want   []state.Held
	}{
		{"/v1/engine-states", []state.Held{fresh, edge, stale, future}},
		{"/v1/engine-states?stale=include", []state.Held{fresh, edge, stale, future}},
		{"/v1/engine-states?stale=exclude", []state.Held{fresh, edge, future}},
	} {
		var got map[string]wireState
		getJSON(t, h, test.target, &got)
		if len(got) != len(test.want) {
			t.Errorf("%s: %d engines, want %d", test.target, len(got), len(test.want))
		}
		for _, want := range test.want {
			if s := got[want.EngineID].state(t); s != want.State {
				t.Errorf("%s: got %+v, want %+v", test.target, s, want.State)
			}
		}
	}
}

func TestEngineStatesEmpty(t *testing.T) {
	h := newTestAPI(newFakeTable(heldAt("stale", 1, at(0))))
	for target, want := range map[string]string{
		"/v1/engine-states?stale=exclude": "{}\n",
		"/v1/engine-states":               `{"stale": {"engine_id": "stale", "timestamp_ms": 1755532567001, "latency_pred_ms": 22.253122228102537, "scheduling_mode": "latency_optimized", "pending_tokens_total": 1, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": 1, "engine_capacity": 59769.2749641796}}` + "\n",
	} {
		if got := get(t, h, target).Body.String(); got != want {
			t.Errorf("%s: %s", target, got)
		}
	}
}

// hostileIDs are engine ids that would break out of JSON, a path, a page or a log line if they were pasted into one.
var hostileIDs = []string{
	`"`, `\`, `\"`, `","x":"`, `</script><script>alert(1)</script>`, `http://h/a/../b?c=d&e=f#g`, "ünïcödé-引擎-🚀",
	"\u2028\u2029", `%00%2e%22`, "' OR 1=1 --", "{}[]", "a b", "engine_id", strings.Repeat("x", state.MaxEngineIDLength),
}

func TestHostileEngineIDs(t *testing.T) {
	table := newFakeTable()
	for i, id := range hostileIDs {
		table.put(heldAt(id, int64(i), at(10*time.Second)))
	}
	h := newTestAPI(table)

	var states map[string]wireState
	getJSON(t, h, "/v1/engine-states", &states)
	var engines wireEngines
	getJSON(t, h, "/v1/engines", &engines)
	if len(states) != len(hostileIDs) || len(engines.Engines) != len(hostileIDs) {
		t.Fatalf("%d states, %d engines, want %d", len(states), len(engines.Engines), len(hostileIDs))
	}
	for i, id := range hostileIDs {
		want := engineState(id, int64(i))
		if got := states[id].state(t); got != want {
			t.Errorf("states: got %+v, want %+v", got, want)
		}
		var one wireEngines
		getJSON(t, h, "/v1/engines?"+query("engine_id", id), &one)
		if len(one.Engines) != 1 || one.Engines[0].state(t) != want {
			t.Errorf("engines: got %+v, want %+v", one.Engines, want)
		}
		var history wireHistory
		getJSON(t, h, "/v1/history?"+query("engine_id", id), &history)
		if history.EngineID != id || len(history.States) != 1 || history.States[0].state(t) != want {
			t.Errorf("history: got %+v, want %+v", history, want)
		}
		wantProblem(t, get(t, newTestAPI(newFakeTable()), "/v1/history?"+query("engine_id", id)), 404, "is held")
	}
}
