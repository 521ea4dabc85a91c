package api

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// epoch is the wall time of the tests, Unix ns, at the monotonic time 0.
const epoch = 1_755_532_567_000_000_000

// at returns the instant d after the tests' beginning.
func at(d time.Duration) state.Instant {
	return state.Instant{Mono: int64(d), Wall: epoch + int64(d)}
}

// fakeTable is a plain map under a mutex.
type fakeTable struct {
	mu        sync.RWMutex
	held      map[string]state.Held
	history   map[string][]state.Record
	intervals map[string]time.Duration // set before the requests
}

func newFakeTable(engines ...state.Held) *fakeTable {
	t := &fakeTable{held: map[string]state.Held{}, history: map[string][]state.Record{}, intervals: map[string]time.Duration{}}
	for _, h := range engines {
		t.put(h)
	}
	return t
}

func (t *fakeTable) put(h state.Held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held[h.EngineID] = h
	t.history[h.EngineID] = append(t.history[h.EngineID], state.Record{State: h.State, ReceivedWall: h.Received.Wall})
}

func (t *fakeTable) Range(yield func(*state.Held) bool) {
	t.mu.RLock()
	engines := slices.Collect(maps.Values(t.held))
	t.mu.RUnlock()
	for i := range engines {
		if !yield(&engines[i]) {
			return
		}
	}
}

// Follow compares what is held with what was.
func (t *fakeTable) Follow() func(changed func(*state.Held), removed func(string)) {
	seen := map[string]state.Held{}
	return func(changed func(*state.Held), removed func(string)) {
		t.mu.RLock()
		held := maps.Clone(t.held)
		t.mu.RUnlock()
		for id, h := range held {
			if was, ok := seen[id]; !ok || was != h {
				changed(&h)
			}
		}
		for id := range seen {
			if _, ok := held[id]; !ok {
				removed(id)
			}
		}
		seen = held
	}
}

func (t *fakeTable) Get(engineID string) (state.Held, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	h, ok := t.held[engineID]
	return h, ok
}

func (t *fakeTable) History(engineID string, limit int) ([]state.Record, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	records, ok := t.history[engineID]
	return slices.Clone(records[max(0, len(records)-limit):]), ok
}

func (t *fakeTable) PushInterval(engineID string) (time.Duration, bool) {
	interval, ok := t.intervals[engineID]
	return interval, ok
}

// fakeGateway answers what it is told to. Its fields are not changed while requests run.
type fakeGateway struct {
	now         state.Instant
	statistics  gateway.Statistics
	ready, live error
	degraded    string
}

func (g *fakeGateway) Now() state.Instant             { return g.now }
func (g *fakeGateway) Statistics() gateway.Statistics { return g.statistics }
func (g *fakeGateway) Ready() error                   { return g.ready }
func (g *fakeGateway) Degraded() string               { return g.degraded }
func (g *fakeGateway) Live() error                    { return g.live }

func testInfo() Info {
	return Info{
		NetworkMode:   "unicast",
		BindAddress:   "0.0.0.0",
		UDPPort:       9999,
		Rules:         state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true},
		EngineMetrics: true,
		Started:       at(0),
		Version:       "1.2.3",
		Revision:      "abcdef",

		MessagesDropped: func() uint64 { return 2 },
	}
}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newTestAPI returns the handler on a table, ten seconds after the gateway's start.
func newTestAPI(table Table) *api {
	return New(table, &fakeGateway{now: at(10 * time.Second)}, testInfo(), quietLog()).(*api)
}

// engineID returns the usual id of the i-th engine; in the order of i while i < 1,000,000.
func engineID(i int) string { return fmt.Sprintf("http://172.17.0.3:%06d", i) }

// engineState returns a state whose every field follows from the id and n, so that a mixture of two is seen.
func engineState(id string, n int64) state.State {
	return state.State{
		EngineID:           id,
		TimestampMs:        1_755_532_567_000 + n,
		LatencyPredMs:      21.253122228102537 + float64(n),
		SchedulingMode:     "latency_optimized",
		PendingTokensTotal: n,
		KVCacheFreeBlocks:  -1,
		KVCacheTotalBlocks: n,
		EngineCapacity:     59768.2749641796 + float64(n),
	}
}

// heldAt returns an engine whose only state, a real one, arrived at the instant received.
func heldAt(id string, n int64, received state.Instant) state.Held {
	return state.Held{
		State:             engineState(id, n),
		Received:          received,
		NewestTimestampMs: 1_755_532_567_000 + n,
		LoadTimestampMs:   1_755_532_567_000 + n,
		Conflicted:        state.NoConflict,
		Source:            netip.MustParseAddrPort("10.0.0.7:40000"),
	}
}

// get asks h for a target and returns the answer, after the checks that hold for every answer.
func get(t testing.TB, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, h, http.MethodGet, target)
}

func do(t testing.TB, h http.Handler, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	cache := "no-store"
	if w.Header().Get("ETag") != "" { // a file of the page
		cache = "no-cache"
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != cache {
		t.Errorf("%s: headers %v", target, w.Header())
	}
	if length := w.Header().Get("Content-Length"); length != "" && length != fmt.Sprint(w.Body.Len()) && method != http.MethodHead {
		t.Errorf("%s: Content-Length %s, body %d bytes", target, length, w.Body.Len())
	}
	return w
}

// getJSON asks for a target that must be answered 200, and reads the answer strictly into out.
func getJSON(t testing.TB, h http.Handler, target string, out any) {
	t.Helper()
	decode(t, get(t, h, target), out)
}

// decode decodes an answer, which must be a 200 with JSON.
func decode(t testing.TB, w *httptest.ResponseRecorder, out any) {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	strict(t, w.Body.Bytes(), out)
}

// strict reads JSON with no duplicate, unknown or wrongly cased member and no invalid UTF-8 into out.
func strict(t testing.TB, text []byte, out any) {
	t.Helper()
	if err := json.Unmarshal(text, out, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// wireState is the eight fields as a reader declares them. Pointers tell an absent field from a zero.
type wireState struct {
	EngineID           *string  `json:"engine_id"`
	TimestampMs        *int64   `json:"timestamp_ms"`
	LatencyPredMs      *float64 `json:"latency_pred_ms"`
	SchedulingMode     *string  `json:"scheduling_mode"`
	PendingTokensTotal *int64   `json:"pending_tokens_total"`
	KVCacheFreeBlocks  *int64   `json:"kv_cache_free_blocks"`
	KVCacheTotalBlocks *int64   `json:"kv_cache_total_blocks"`
	EngineCapacity     *float64 `json:"engine_capacity"`
}

// state returns the fields; it fails the test if one is absent.
func (s wireState) state(t testing.TB) state.State {
	t.Helper()
	if s.EngineID == nil || s.TimestampMs == nil || s.LatencyPredMs == nil || s.SchedulingMode == nil ||
		s.PendingTokensTotal == nil || s.KVCacheFreeBlocks == nil || s.KVCacheTotalBlocks == nil || s.EngineCapacity == nil {
		t.Fatalf("a field is absent: %+v", s)
	}
	return state.State{
		EngineID:           *s.EngineID,
		TimestampMs:        *s.TimestampMs,
		LatencyPredMs:      *s.LatencyPredMs,
		SchedulingMode:     *s.SchedulingMode,
		PendingTokensTotal: *s.PendingTokensTotal,
		KVCacheFreeBlocks:  *s.KVCacheFreeBlocks,
		KVCacheTotalBlocks: *s.KVCacheTotalBlocks,
		EngineCapacity:     *s.EngineCapacity,
	}
}
