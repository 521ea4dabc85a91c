package api

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/elrar/state-gateway/state"
)

// complete returns an engine of which everything is known, nine and a half seconds after the tests' beginning.
func complete(id string) state.Held {
	h := heldAt(id, 7, at(9500*time.Millisecond))
	h.KVCacheFreeBlocks, h.KVCacheTotalBlocks = 0, 512
	h.HeartbeatWall = at(3 * time.Second).Wall
	h.ClockSkewMs = -250
	return h
}

// series is an exposition as a scraper reads it: each sample under its name and labels, in the order of their names.
func series(t testing.TB, text string) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for name, family := range families {
		if !strings.HasPrefix(name, engineNamespace) {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := model.LabelSet{}
			for _, pair := range m.GetLabel() {
				labels[model.LabelName(pair.GetName())] = model.LabelValue(pair.GetValue())
			}
			key := strings.TrimPrefix(name, engineNamespace) + labels.String()
			if _, twice := samples[key]; twice {
				t.Errorf("%s is there twice", key)
			}
			samples[key] = m.GetGauge().GetValue()
		}
	}
	return samples
}

func engineSeries(t testing.TB, engines ...state.Held) map[string]float64 {
	t.Helper()
	return series(t, get(t, newTestAPI(newFakeTable(engines...)), "/metrics").Body.String())
}

func wantSeries(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; !ok || value != want[name] {
			t.Errorf("%s: %v (there: %v), want %v", name, value, ok, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s must not be there", name)
		}
	}
}

func TestEngineMetrics(t *testing.T) {
	stale := complete("stale")
	stale.Received = at(7 * time.Second)
	unknown := heldAt("unknown", 0, at(10*time.Second))
	unknown.KVCacheTotalBlocks = state.Unknown
	unknown.SchedulingMode = "balanced"

	var initializing state.Held
	rules := testInfo().Rules
	initializing.First(new(state.Memory), &state.State{EngineID: "new", TimestampMs: 1_755_532_577_000, SchedulingMode: "latency_optimized",
		KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.Unknown}, unknown.Source, at(10*time.Second), &rules)

	wantSeries(t, engineSeries(t, complete("all"), stale, unknown, initializing), map[string]float64{
		`up{engine_id="all"}`:                                          1,
		`last_receive_timestamp_seconds{engine_id="all"}`:              1755532576.5,
		`last_load_timestamp_seconds{engine_id="all"}`:                 1755532567.007,
		`clock_skew_seconds{engine_id="all"}`:                          -0.25,
		`latency_prediction_seconds{engine_id="all"}`:                  0.028253122228102537,
		`pending_tokens{engine_id="all"}`:                              7,
		`capacity_tokens_per_second{engine_id="all"}`:                  59775.2749641796,
		`kv_cache_free_blocks{engine_id="all"}`:                        0,
		`kv_cache_blocks{engine_id="all"}`:                             512,
		`scheduling_mode{engine_id="all", mode="latency_optimized"}`:   1,
		`up{engine_id="stale"}`:                                        0,
		`last_receive_timestamp_seconds{engine_id="stale"}`:            1755532574,
		`last_load_timestamp_seconds{engine_id="stale"}`:               1755532567.007,
		`clock_skew_seconds{engine_id="stale"}`:                        -0.25,
		`latency_prediction_seconds{engine_id="stale"}`:                0.028253122228102537,
		`pending_tokens{engine_id="stale"}`:                            7,
		`capacity_tokens_per_second{engine_id="stale"}`:                59775.2749641796,
		`kv_cache_free_blocks{engine_id="stale"}`:                      0,
		`kv_cache_blocks{engine_id="stale"}`:                           512,
		`scheduling_mode{engine_id="stale", mode="latency_optimized"}`: 1,
		`up{engine_id="unknown"}`:                                      1,
		`last_receive_timestamp_seconds{engine_id="unknown"}`:          1755532577,
		`last_load_timestamp_seconds{engine_id="unknown"}`:             1755532567,
		`clock_skew_seconds{engine_id="unknown"}`:                      0,
		`latency_prediction_seconds{engine_id="unknown"}`:              0.021253122228102537,
		`pending_tokens{engine_id="unknown"}`:                          0,
		`capacity_tokens_per_second{engine_id="unknown"}`:              59768.2749641796,
		`scheduling_mode{engine_id="unknown", mode="balanced"}`:        1,
		`up{engine_id="new"}`:                                          1,
		`last_receive_timestamp_seconds{engine_id="new"}`:              1755532577,
		`clock_skew_seconds{engine_id="new"}`:                          0,
		`latency_prediction_seconds{engine_id="new"}`:                  0,
		`pending_tokens{engine_id="new"}`:                              0,
		`scheduling_mode{engine_id="new", mode="latency_optimized"}`:   1,
	})
}

// The largest values that an engine may send are read back as the same bits.
func TestEngineMetricsExtremes(t *testing.T) {
	h := complete("a")
	h.EngineCapacity, h.PendingTokensTotal = 1.7976931348623157e308, state.MaxInteger
	got := engineSeries(t, h)
	if got[`capacity_tokens_per_second{engine_id="a"}`] != h.EngineCapacity || got[`pending_tokens{engine_id="a"}`] != state.MaxInteger {
		t.Errorf("%v", got)
	}
}

func TestEngineMetricsOff(t *testing.T) {
	info := testInfo()
	info.EngineMetrics = false
	h := New(newFakeTable(complete("a")), &fakeGateway{now: at(0)}, info, quietLog())
	if text := get(t, h, "/metrics").Body.String(); strings.Contains(text, engineNamespace) || !strings.Contains(text, namespace) {
		t.Errorf("%s", text)
	}
}

// Series go with their engine, and no engines leave a valid exposition.
func TestEngineMetricsVanish(t *testing.T) {
	table := newFakeTable(complete("a"), complete("b"))
	h := newTestAPI(table)
	before := series(t, get(t, h, "/metrics").Body.String())
	delete(table.held, "a")
	after := series(t, get(t, h, "/metrics").Body.String())
	for name := range after {
		if strings.Contains(name, `"a"`) {
			t.Errorf("%s of an engine that is gone", name)
		}
	}
	if len(before) != 2*len(after) || len(after) != len(engineGauges())+1 {
		t.Errorf("%d series before, %d after", len(before), len(after))
	}
	delete(table.held, "b")
	if left := series(t, get(t, h, "/metrics").Body.String()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// An engine id or a mode that looks like the exposition's own syntax is a label value and nothing else.
func TestHostileLabels(t *testing.T) {
	hostile := append(slices.Clone(hostileIDs), "a\n# TYPE b counter\nb 1", `x"} 1`, `\n`, `a\`, "{", "# HELP")
	table := newFakeTable()
	var names []string
	for _, id := range hostile {
		h := complete(id)
		h.SchedulingMode = id
		table.put(h)
		names = append(names, "scheduling_mode"+model.LabelSet{"engine_id": model.LabelValue(id), "mode": model.LabelValue(id)}.String())
	}
	got := series(t, get(t, newTestAPI(table), "/metrics").Body.String())
	if want := len(hostile) * (len(engineGauges()) + 1); len(got) != want {
		t.Errorf("%d series, want %d", len(got), want)
	}
	for _, name := range names {
		if got[name] != 1 {
			t.Errorf("missing: %s", name)
		}
	}
}
