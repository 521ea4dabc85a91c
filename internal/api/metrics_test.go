package api

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// exposition returns /metrics as text, with an engine of which all is known, after one answered and two refused requests.
func exposition(t *testing.T) string {
	t.Helper()
	gw := &fakeGateway{now: at(10 * time.Second), statistics: sampleStatistics()}
	h := New(newFakeTable(complete("http://a:8000")), gw, testInfo(), quietLog())
	get(t, h, "/v1/engine-states")
	get(t, h, "/v1/engines?status=none")
	get(t, h, "/v1/no-such-path")
	w := get(t, h, "/metrics")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	text := exposition(t)
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		lines[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		`datagrams_received_total{transport="unicast"} 900`,
		`datagrams_received_total{transport="broadcast"} 136`,
		`receive_bytes_total 270001`,
		`datagrams_rejected_total{reason="empty"} 1`,
		`datagrams_rejected_total{reason="too_large"} 2`,
		`datagrams_rejected_total{reason="json"} 3`,
		`datagrams_rejected_total{reason="duplicate_field"} 4`,
		`datagrams_rejected_total{reason="missing_field"} 5`,
		`datagrams_rejected_total{reason="type"} 6`,
		`datagrams_rejected_total{reason="range"} 7`,
		`datagrams_rejected_total{reason="engine_limit"} 8`,
		`kernel_dropped_total{socket="0"} 7`,
		`kernel_dropped_total{socket="1"} 8`,
		`receive_buffer_bytes{socket="0"} 8.388608e+06`,
		`receive_buffer_bytes{socket="1"} 4.194304e+06`,
		`states_applied_total 970`,
		`states_duplicate_total 20`,
		`states_out_of_order_total 10`,
		`clock_resets_total 3`,
		`heartbeats_total 41`,
		`initializations_total 6`,
		`identity_conflicts_total 9`,
		`read_errors_total 4`,
		`engines{status="initializing"} 1`,
		`engines{status="fresh"} 6`,
		`engines{status="idle"} 2`,
		`engines{status="stale"} 4`,
		`engines_removed_total 5`,
		`engines_replaced_total 11`,
		`intruding_sockets 2`,
		`log_written_total 900`,
		`log_dropped_total{reason="ring_full"} 30`,
		`log_dropped_total{reason="disk"} 20`,
		`log_dropped_total{reason="space"} 8`,
		`log_bytes_total 300007`,
		`log_queued 12`,
		`log_reopens_total 3`,
		`log_torn_lines_total 1`,
		`log_lag_seconds 1.5`,
		`messages_dropped_total 2`,
		`log_errors_total{op="open"} 0`,
		`log_errors_total{op="write"} 2`,
		`http_requests_total{code="200",handler="engine_states"} 1`,
		`http_requests_total{code="400",handler="engines"} 1`,
		`http_requests_total{code="404",handler="unknown"} 1`,
		`http_connections_total{listener="http",result="accepted"} 0`,
		`http_connections_total{listener="http",result="evicted"} 0`,
		`http_connections_total{listener="http",result="refused"} 0`,
		`http_request_duration_seconds_count{handler="engine_states"} 1`,
		`build_info{goversion="` + runtime.Version() + `",revision="abcdef",version="1.2.3"} 1`,
	} {
		if !lines["elrar_gateway_"+want] {
			t.Errorf("missing: elrar_gateway_%s", want)
		}
	}
	for _, want := range []string{"\ngo_goroutines ", "\nprocess_cpu_seconds_total "} {
		if strings.HasPrefix(want, "\nprocess") && runtime.GOOS != "linux" {
			continue
		}
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, "no-such-path") || strings.Contains(text, "-1\n") || strings.Contains(text, "\n\n") || !strings.HasSuffix(text, "\n") {
		t.Errorf("a path or a -1 in\n%s", text)
	}
}

func TestMetricsLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(exposition(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "go_") { // the client library's own
			continue
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Two gateways in one process do not share a registry.
func TestMetricsAreTheHandlersOwn(t *testing.T) {
	exposition(t)
	h := New(newFakeTable(), &fakeGateway{}, testInfo(), quietLog())
	if text := get(t, h, "/metrics").Body.String(); strings.Contains(text, "http_requests_total{") {
		t.Errorf("requests of another handler:\n%s", text)
	}
}
