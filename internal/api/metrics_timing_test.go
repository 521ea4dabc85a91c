package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkMetrics is the cost of a scrape: the gateway's own metrics, and those with the metrics of 1,000 engines.
func BenchmarkMetrics(b *testing.B) {
	for name, engines := range map[string]bool{"gateway": false, "1000 engines": true} {
		b.Run(name, func(b *testing.B) {
			info := testInfo()
			info.EngineMetrics = engines
			a := New(thousandEngines(), &fakeGateway{statistics: sampleStatistics()}, info, quietLog())
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
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

// The allocations of a scrape do not grow with the number of engines.
func TestMetricsAllocations(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	w := &drain{header: http.Header{}}
	allocations := func(table *rows) float64 {
		a := New(table, &fakeGateway{statistics: sampleStatistics()}, testInfo(), quietLog())
		a.ServeHTTP(w, r)
		return testing.AllocsPerRun(10, func() { a.ServeHTTP(w, r) })
	}
	few := thousandEngines()
	few.held = few.held[:1]
	const most = 60 // lists and buffers grow by doubling, also when the pool has forgotten one; the Go runtime's metrics differ by some
	if one, thousand := allocations(few), allocations(thousandEngines()); thousand > one+most {
		t.Errorf("%v allocations for 1 engine, %v for 1,000", one, thousand)
	}
}
