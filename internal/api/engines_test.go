package api

import (
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// query returns one parameter, escaped.
func query(name, value string) string { return url.Values{name: {value}}.Encode() }

// wireEngines is the answer of /v1/engines. A nil pointer is null.
type wireEngines struct {
	ServerTimeMs     *int64       `json:"server_time_ms"`
	StaleThresholdMs *int64       `json:"stale_threshold_ms"`
	Engines          []wireEngine `json:"engines"`
}

// wireEngine is an engine object. Every member must be there; those with a pointer may be null.
type wireEngine struct {
	wireState       `json:",inline"`
	Status          string   `json:"status"`
	Fresh           *bool    `json:"fresh"`
	AgeMs           *float64 `json:"age_ms"`
	ReceivedAtMs    *int64   `json:"received_at_ms"`
	LoadTimestampMs *int64   `json:"load_timestamp_ms"`
	LastHeartbeatMs *int64   `json:"last_heartbeat_ms"`
	StaleAfterMs    *int64   `json:"stale_after_ms"`
	ClockSkewMs     *int64   `json:"clock_skew_ms"`
	PushIntervalMs  *float64 `json:"push_interval_ms"`
	SourceAddr      *string  `json:"source_addr"`
	Conflict        *bool    `json:"conflict"`
}

func TestEngines(t *testing.T) {
	known := heldAt("http://b:8000", 1, at(9876_500*time.Microsecond))
	known.HeartbeatWall = epoch + int64(3*time.Second)
	known.ClockSkewMs = -150
	known.Conflicted = int64(time.Second)
	unknown := state.Held{State: engineState("http://a:8000", 2), Received: at(time.Second), LoadTimestampMs: state.NoLoad,
		Conflicted: state.NoConflict}
	unknown.LatencyPredMs = 0
	table := newFakeTable(known, unknown)
	table.intervals[known.EngineID] = 200_250 * time.Microsecond
	h := newTestAPI(table)

	const want = `{"server_time_ms": 1755532577000, "stale_threshold_ms": 2000, "engines": [` +
		`{"engine_id": "http://a:8000", "timestamp_ms": 1755532567002, "latency_pred_ms": 0.0, "scheduling_mode": "latency_optimized", "pending_tokens_total": 2, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": 2, "engine_capacity": 59770.2749641796, ` +
		`"status": "stale", "fresh": false, "age_ms": 9000.000, "received_at_ms": 1755532568000, "load_timestamp_ms": null, "last_heartbeat_ms": null, "stale_after_ms": 2000, "clock_skew_ms": 0, "push_interval_ms": null, "source_addr": null, "conflict": false}, ` +
		`{"engine_id": "http://b:8000", "timestamp_ms": 1755532567001, "latency_pred_ms": 22.253122228102537, "scheduling_mode": "latency_optimized", "pending_tokens_total": 1, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": 1, "engine_capacity": 59769.2749641796, ` +
		`"status": "fresh", "fresh": true, "age_ms": 123.500, "received_at_ms": 1755532576876, "load_timestamp_ms": 1755532567001, "last_heartbeat_ms": 1755532570000, "stale_after_ms": 2500, "clock_skew_ms": -150, "push_interval_ms": 200.250, "source_addr": "10.0.0.7:40000", "conflict": true}` +
		"]}\n"
	w := get(t, h, "/v1/engines")
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d\n got %s\nwant %s", w.Code, w.Body, want)
	}
	var engines wireEngines
	strict(t, w.Body.Bytes(), &engines)
}

// An engine as the rules make it, from its first heartbeat to its silence.
func TestEnginesStatuses(t *testing.T) {
	info := testInfo()
	var h state.Held
	var m state.Memory
	source := netip.MustParseAddrPort("10.0.0.7:40000")
	feed := func(s state.State, after time.Duration) {
		s.TimestampMs = unixMs(at(after).Wall)
		if h.EngineID == "" {
			h.First(&m, &s, source, at(after), &info.Rules)
		} else {
			h.Next(&m, &s, source, at(after), &info.Rules)
		}
	}
	beat := state.State{EngineID: "a", SchedulingMode: "latency_optimized", KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.Unknown}
	busy := engineState("a", 7)
	for _, step := range []struct {
		s        state.State
		sent     time.Duration
		asked    time.Duration
		status   string
		capacity float64
		pending  int64
		load     time.Duration // < 0: null
	}{
		{beat, time.Second, 2 * time.Second, "initializing", 0, 0, -1},
		{busy, 3 * time.Second, 4 * time.Second, "fresh", busy.EngineCapacity, 7, 3 * time.Second},
		{beat, 3500 * time.Millisecond, 4 * time.Second, "fresh", busy.EngineCapacity, 7, 3 * time.Second},
		{beat, 5 * time.Second, 7500 * time.Millisecond, "idle", busy.EngineCapacity, 0, 3 * time.Second},
		{beat, 6 * time.Second, 8501 * time.Millisecond, "stale", busy.EngineCapacity, 0, 3 * time.Second},
	} {
		feed(step.s, step.sent)
		var got wireEngines
		getJSON(t, New(newFakeTable(h), &fakeGateway{now: at(step.asked)}, info, quietLog()), "/v1/engines", &got)
		e := got.Engines[0]
		if e.Status != step.status || *e.Fresh != (step.status != "stale") || *e.EngineCapacity != step.capacity || *e.PendingTokensTotal != step.pending {
			t.Errorf("at %v: %+v", step.asked, e)
		}
		if step.load < 0 != (e.LoadTimestampMs == nil) || step.load >= 0 && *e.LoadTimestampMs != unixMs(at(step.load).Wall) {
			t.Errorf("at %v: load_timestamp_ms %v", step.asked, e.LoadTimestampMs)
		}
		if *e.ReceivedAtMs != unixMs(at(step.sent).Wall) || *e.StaleAfterMs != 2500 || *e.ClockSkewMs != 0 || *e.Conflict {
			t.Errorf("at %v: %+v", step.asked, e)
		}
	}
}

func TestEnginesSourceAddress(t *testing.T) {
	h6 := heldAt("six", 1, at(0))
	h6.Source = netip.MustParseAddrPort("[fe80::1%eth0]:4000")
	var got wireEngines
	getJSON(t, newTestAPI(newFakeTable(h6)), "/v1/engines", &got)
	if addr := got.Engines[0].SourceAddr; addr == nil || *addr != "[fe80::1%eth0]:4000" {
		t.Errorf("source_addr %v", addr)
	}
}

func TestEnginesFilters(t *testing.T) {
	h := newTestAPI(newFakeTable(
		heldAt("a", 1, at(9*time.Second)),
		heldAt("b", 2, at(time.Second)),
		heldAt("c", 3, at(10*time.Second)),
	))
	for target, want := range map[string][]string{
		"/v1/engines":                          {"a", "b", "c"},
		"/v1/engines?status=fresh":             {"a", "c"},
		"/v1/engines?status=stale":             {"b"},
		"/v1/engines?status=idle":              {},
		"/v1/engines?status=initializing":      {},
		"/v1/engines?engine_id=b":              {"b"},
		"/v1/engines?engine_id=b&status=stale": {"b"},
		"/v1/engines?status=fresh&engine_id=b": {},
		"/v1/engines?engine_id=nobody":         {},
		"/v1/engines?engine_id=":               {},
	} {
		var got wireEngines
		getJSON(t, h, target, &got)
		ids := []string{}
		for _, e := range got.Engines {
			ids = append(ids, *e.EngineID)
		}
		if !slices.Equal(ids, want) || got.Engines == nil {
			t.Errorf("%s: %q, want %q", target, ids, want)
		}
	}
}
