package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// wantProblem checks that an answer is a well-formed problem with this status and this in its detail.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int, detail string) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s, want %d: %s", w.Code, w.Header().Get("Content-Type"), status, w.Body)
	}
	var p struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}
	strict(t, w.Body.Bytes(), &p)
	if p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Status != status || !strings.Contains(p.Detail, detail) {
		t.Errorf("%+v, want %d with %q", p, status, detail)
	}
}

func TestUnknownPaths(t *testing.T) {
	h := newTestAPI(newFakeTable())
	for _, path := range []string{"/nothing", "/v1", "/v1/", "/v1/engines/", "//stats", "/v1/../stats", "/STATS", "/%22%3Cscript%3E%FF"} {
		wantProblem(t, get(t, h, path), 404, "nothing is at")
	}
	wantProblem(t, do(t, h, http.MethodPost, "/nothing"), 404, "nothing is at")
}

func TestMethods(t *testing.T) {
	a := newTestAPI(newFakeTable())
	for path := range a.routes {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "PROPFIND"} {
			w := do(t, a, method, path)
			wantProblem(t, w, 405, "is not a method of this endpoint")
			if w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", method, path, w.Header().Get("Allow"))
			}
		}
	}
}

// What probes and scrapers add to the query is nobody's question.
func TestProbesMayAddParameters(t *testing.T) {
	a := newTestAPI(newFakeTable())
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		for _, query := range []string{"x=1", "collect[]=cpu", "_=1&_=2", "verbose", "%zz", ";"} {
			if w := get(t, a, path+"?"+query); w.Code != 200 {
				t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
		}
	}
}

func TestParameters(t *testing.T) {
	a := newTestAPI(newFakeTable())
	probed := []string{"/livez", "/readyz", "/metrics"} // TestProbesMayAddParameters
	for path := range a.routes {
		if slices.Contains(probed, path) {
			continue
		}
		wantProblem(t, get(t, a, path+"?stael=exclude"), 400, `unknown parameter "stael"`)
		wantProblem(t, get(t, a, path+"?%22%0A%FF=1"), 400, `unknown parameter "\"\n\xff"`)
	}
	for target, detail := range map[string]string{
		"/v1/engine-states?stael=exclude":                "knows stale",
		"/v1/engines?stale=exclude":                      "knows engine_id, status",
		"/stats?x":                                       "has none",
		"/v1/engine-states?stale=exclude&stale=exclude":  "stale is given 2 times",
		"/v1/engines?engine_id=a&engine_id=b":            "engine_id is given 2 times",
		"/v1/engine-states?stale=Exclude":                `stale is "Exclude"; allowed are include and exclude`,
		"/v1/engine-states?stale=":                       `stale is ""`,
		"/v1/engine-states?stale":                        `stale is ""`,
		"/v1/watch?stale=all":                            `stale is "all"; allowed are include and exclude`,
		"/v1/watch?fields=status":                        `fields is "status"; allowed are states and engines`,
		"/v1/watch?engine_id=a":                          "knows stale, fields, max_event_bytes",
		"/v1/watch?max_event_bytes=1023":                 `max_event_bytes is "1023"; allowed are 1024 to 16777216`,
		"/v1/watch?max_event_bytes=16777217":             `max_event_bytes is "16777217"`,
		"/v1/watch?max_event_bytes=64KiB":                `max_event_bytes is "64KiB"`,
		"/v1/watch?max_event_bytes=":                     `max_event_bytes is ""`,
		"/v1/watch?max_event_bytes=99999999999999999999": `max_event_bytes is "99999999999999999999"`,
		"/v1/engines?status=alive":                       `status is "alive"; allowed are initializing, fresh, idle, stale`,
		"/v1/engines?status=":                            `status is ""`,
		"/v1/engines?engine_id=%zz":                      "the query cannot be read",
		"/v1/engines?engine_id=a;status=fresh":           "the query cannot be read",
	} {
		wantProblem(t, get(t, a, target), 400, detail)
	}
}

// panicking is a table and a gateway with a fault.
type panicking struct{ fakeGateway }

func (*panicking) Range(func(*state.Held) bool) { panic("range of a broken table") }
func (*panicking) Follow() func(func(*state.Held), func(string)) {
	panic("follow of a broken table")
}
func (*panicking) Get(string) (state.Held, bool)              { panic("get of a broken table") }
func (*panicking) History(string, int) ([]state.Record, bool) { panic("history of a broken table") }
func (*panicking) PushInterval(string) (time.Duration, bool)  { panic("interval of a broken table") }
func (*panicking) Statistics() gateway.Statistics             { panic("statistics of a broken gateway") }

func TestPanics(t *testing.T) {
	var log bytes.Buffer
	p := &panicking{}
	h := New(p, p, testInfo(), slog.New(slog.NewTextHandler(&log, nil)))
	for _, target := range []string{"/v1/engine-states", "/v1/engines", "/v1/engines?engine_id=a", "/v1/history?engine_id=a", "/stats"} {
		for range 50 { // more than there are turns
			wantProblem(t, get(t, h, target), 500, "the gateway's log says more")
		}
	}
	wantProblem(t, get(t, h, "/metrics"), 500, "the metrics cannot be gathered") // the library's own recovery
	withTable := New(p, &fakeGateway{}, testInfo(), quietLog())
	wantProblem(t, get(t, withTable, "/metrics"), 500, "the gateway's log says more")
	if w := get(t, h, "/livez"); w.Code != 200 {
		t.Errorf("/livez: %d", w.Code)
	}
	lines := strings.Count(log.String(), "range of a broken table")
	if lines != 1 || !strings.Contains(log.String(), "engine_states.go") || !strings.Contains(log.String(), "handler=engine_states") {
		t.Errorf("%d messages, want one with a stack: %s", lines, log.String())
	}
}
