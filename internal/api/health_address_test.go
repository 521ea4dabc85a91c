package api

import (
	"net/http"
	"testing"
	"time"
)

// The health address has the probes, the metrics and the version, and nothing else.
func TestHealthAddress(t *testing.T) {
	a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
	h := Health(a)
	allowed := map[string]bool{"/livez": true, "/readyz": true, "/metrics": true, "/version": true}
	for path := range a.routes {
		want := http.StatusNotFound
		if allowed[path] {
			want = http.StatusOK
		}
		if got := get(t, h, path).Code; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}
