package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// rows is a table that costs nothing to read, so that what is measured is this package.
type rows struct {
	Table
	held []state.Held
}

func (t *rows) Range(yield func(*state.Held) bool) {
	for i := range t.held {
		if !yield(&t.held[i]) {
			return
		}
	}
}

func (t *rows) PushInterval(string) (time.Duration, bool) { return 200 * time.Millisecond, true }

func thousandEngines() *rows {
	t := &rows{}
	for i := range 1000 {
		t.held = append(t.held, heldAt(engineID(i), int64(i), at(10*time.Second)))
	}
	return t
}

// drain is a ResponseWriter that takes everything at once.
type drain struct {
	header http.Header
	n      int64
}

func (d *drain) Header() http.Header         { return d.header }
func (d *drain) WriteHeader(int)             {}
func (d *drain) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

func BenchmarkEngineStates(b *testing.B) {
	for _, target := range []string{"/v1/engine-states", "/v1/engine-states?stale=exclude", "/v1/engines"} {
		b.Run(target, func(b *testing.B) {
			a := newTestAPI(thousandEngines())
			r := httptest.NewRequest(http.MethodGet, target, nil)
			w := &drain{header: http.Header{}}
			a.ServeHTTP(w, r)
			b.SetBytes(w.n)
			b.ReportAllocs()
			for b.Loop() {
				a.ServeHTTP(w, r)
			}
		})
	}
}

// The allocations of an answer do not grow with the number of engines.
func TestEngineStatesAllocations(t *testing.T) {
	a := newTestAPI(thousandEngines())
	r := httptest.NewRequest(http.MethodGet, "/v1/engine-states", nil)
	w := &drain{header: http.Header{}}
	a.ServeHTTP(w, r)
	// The instrumentation's writer, headers, label look-ups, and what waiting for an answer with others takes; some more
	// under the race detector, where pools forget at random. None is an engine's.
	const most = 40
	if n := testing.AllocsPerRun(100, func() { a.ServeHTTP(w, r) }); n > most {
		t.Errorf("%v allocations for 1,000 engines, want at most %d", n, most)
	}
}
