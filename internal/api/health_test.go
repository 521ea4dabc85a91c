package api

import (
	"errors"
	"runtime"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	gw := &fakeGateway{}
	h := New(newFakeTable(), gw, testInfo(), quietLog())
	for target, want := range map[string]string{
		"/livez":   `{"status": "live"}` + "\n",
		"/readyz":  `{"status": "ready"}` + "\n",
		"/version": `{"version": "1.2.3", "revision": "abcdef", "go": "` + runtime.Version() + `"}` + "\n",
	} {
		if w := get(t, h, target); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	gw.degraded = "disk \"full\""
	if w := get(t, h, "/readyz"); w.Code != 200 || w.Body.String() != `{"status": "degraded", "detail": "states are missing from the state log: disk \"full\""}`+"\n" {
		t.Errorf("degraded: %d %s", w.Code, w.Body)
	}
	gw.ready = errors.New("listening for 800ms of 2.5s")
	gw.live = errors.New("reader 1 \"has\" stopped\xff")
	wantProblem(t, get(t, h, "/readyz"), 503, "not ready: listening for 800ms of 2.5s")
	wantProblem(t, get(t, h, "/livez"), 503, "not live: reader 1 \"has\" stopped\uFFFD")
}

func TestUptimeIsMonotonic(t *testing.T) {
	now := at(90 * time.Second)
	now.Wall = 0 // the wall clock was set back by decades
	var got map[string]any
	getJSON(t, New(newFakeTable(), &fakeGateway{now: now}, testInfo(), quietLog()), "/stats", &got)
	if got["uptime_seconds"] != 90.0 {
		t.Errorf("uptime %v", got["uptime_seconds"])
	}
}
