package api

import (
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// sampleStatistics are counters that add up as the protocol says, each with a figure of its own.
func sampleStatistics() gateway.Statistics {
	s := gateway.Statistics{
		Unicast: 900, Broadcast: 136, Received: 1036, Bytes: 270_001,
		Applied: 970, Duplicate: 20, OutOfOrder: 10, ClockReset: 3, Heartbeats: 41, Initialized: 6, Conflicts: 9, Removed: 5, Replaced: 11, Intruders: 2, ReadErrors: 4,
		LastReceived: epoch + 502_843_000,
		Engines:      [state.Statuses]int{state.Initializing: 1, state.Fresh: 6, state.Idle: 2, state.Stale: 4},
		Sockets:      []gateway.Socket{{KernelDropped: 7, ReceiveBuffer: 8 << 20}, {KernelDropped: 8, ReceiveBuffer: 4 << 20}},
		Log: gateway.Log{Enabled: true, Written: 900, Bytes: 300_007, DroppedRing: 30, DroppedDisk: 20, DroppedSpace: 8, Errors: 2, Queued: 12,
			ErrorsByOp: []gateway.OpErrors{{Op: "open"}, {Op: "write", Errors: 2}}, Reopens: 3, Torn: 1, Lag: 1500 * time.Millisecond, Trouble: "disk full"},
	}
	for r := state.Accepted + 1; int(r) < state.Reasons; r++ {
		s.Rejected[r] = uint64(r)
	}
	return s
}

func TestStats(t *testing.T) {
	gw := &fakeGateway{now: at(12345678 * time.Microsecond), statistics: sampleStatistics()}
	h := New(newFakeTable(), gw, testInfo(), quietLog())
	const want = `{"total_received": 1036, "valid_states": 1000, "invalid_states": 36, "unicast_received": 900, "broadcast_received": 136, ` +
		`"last_received": 1755532567.502843, "network_mode": "unicast", "bind_address": "0.0.0.0", "udp_port": 9999, "stale_threshold_ms": 2000, ` +
		`"active_engines": 9, "total_engines": 13, "valid_rate": "96.53%", ` +
		`"applied": 970, "duplicate": 20, "out_of_order": 10, "clock_reset": 3, "heartbeats": 41, "initializations": 6, "conflicts": 9, "removed": 5, "replaced": 11, ` +
		`"rejected": {"empty": 1, "too_large": 2, "json": 3, "duplicate_field": 4, "missing_field": 5, "type": 6, "range": 7, "engine_limit": 8}, ` +
		`"kernel_dropped": 15, "read_errors": 4, "log_enabled": true, "logged": 900, "log_dropped": 58, "log_queued": 12, "log_errors": 2, "log_errors_by_op": {"open": 0, "write": 2}, "log_reopens": 3, "log_torn_lines": 1, "log_lag_seconds": 1.500, "log_trouble": "disk full", "uptime_seconds": 12.346, "version": "1.2.3"}` + "\n"
	for _, target := range []string{"/stats", "/v1/stats"} {
		if got := get(t, h, target).Body.String(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", target, got, want)
		}
	}
}

// The counters as shown add up, as those that they are made of do.
func TestStatsAddUp(t *testing.T) {
	gw := &fakeGateway{statistics: sampleStatistics()}
	var got map[string]any
	getJSON(t, New(newFakeTable(), gw, testInfo(), quietLog()), "/stats", &got)
	sum := func(names ...string) (sum float64) {
		for _, name := range names {
			sum += got[name].(float64)
		}
		return sum
	}
	var rejected float64
	for _, n := range got["rejected"].(map[string]any) {
		rejected += n.(float64)
	}
	for what, sums := range map[string][2]float64{
		"received by fate":      {sum("total_received"), sum("applied", "duplicate", "out_of_order") + rejected},
		"received by transport": {sum("total_received"), sum("unicast_received", "broadcast_received")},
		"received by validity":  {sum("total_received"), sum("valid_states", "invalid_states")},
		"applied":               {sum("applied"), sum("logged", "log_dropped", "log_queued")},
	} {
		if sums[0] != sums[1] {
			t.Errorf("%s: %v and %v", what, sums[0], sums[1])
		}
	}
}

func TestStatsBeforeTheFirst(t *testing.T) {
	h := New(newFakeTable(), &fakeGateway{now: at(0)}, testInfo(), quietLog())
	const want = `{"total_received": 0, "valid_states": 0, "invalid_states": 0, "unicast_received": 0, "broadcast_received": 0, ` +
		`"last_received": 0.0, "network_mode": "unicast", "bind_address": "0.0.0.0", "udp_port": 9999, "stale_threshold_ms": 2000, ` +
		`"active_engines": 0, "total_engines": 0, "valid_rate": "0.00%", ` +
		`"applied": 0, "duplicate": 0, "out_of_order": 0, "clock_reset": 0, "heartbeats": 0, "initializations": 0, "conflicts": 0, "removed": 0, "replaced": 0, ` +
		`"rejected": {"empty": 0, "too_large": 0, "json": 0, "duplicate_field": 0, "missing_field": 0, "type": 0, "range": 0, "engine_limit": 0}, ` +
		`"kernel_dropped": 0, "read_errors": 0, "log_enabled": false, "logged": 0, "log_dropped": 0, "log_queued": 0, "log_errors": 0, "log_errors_by_op": {}, "log_reopens": 0, "log_torn_lines": 0, "log_lag_seconds": 0.000, "log_trouble": null, "uptime_seconds": 0.000, "version": "1.2.3"}` + "\n"
	if got := get(t, h, "/stats").Body.String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestValidRate(t *testing.T) {
	for _, test := range []struct {
		valid, all uint64
		want       string
	}{{0, 0, "0.00%"}, {0, 5, "0.00%"}, {999, 1000, "99.90%"}, {1, 3, "33.33%"}, {7, 7, "100.00%"}} {
		if got := percent(test.valid, test.all); got != test.want {
			t.Errorf("%d of %d: %s", test.valid, test.all, got)
		}
	}
}

// A rejected datagram that is counted as such before it is counted as received must not make valid_states wrap.
func TestStatsMidBatch(t *testing.T) {
	gw := &fakeGateway{statistics: gateway.Statistics{Rejected: [state.Reasons]uint64{state.JSON: 3}, Received: 2}}
	var got map[string]any
	getJSON(t, New(newFakeTable(), gw, testInfo(), quietLog()), "/stats", &got)
	if got["valid_states"] != 0.0 {
		t.Errorf("valid_states %v", got["valid_states"])
	}
}
