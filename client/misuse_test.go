package client

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestNil: what is nil is left out, but for the context, which is needed.
func TestNil(t *testing.T) {
	var none context.Context
	if w, err := Watch(none, "http://gateway.test"); w != nil || err == nil || err.Error() != "the context is nil" {
		t.Errorf("%v, %v", w, err)
	}
	watch(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, func(t *testing.T, g *fakeGateway, w *Watcher) {
		time.Sleep(5 * time.Second) // something would be logged
		synctest.Wait()
		if w.Gateways()[0].Problem == nil {
			t.Error("no problem")
		}
	}, nil, Logger(nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w, err := Watch(ctx, "http://gateway.test", Transport(nil))
	if err != nil {
		t.Fatal(err)
	}
	w.Wait()
	if transport, ok := w.transport.(*http.Transport); !ok || transport.Proxy != nil || !transport.DisableKeepAlives {
		t.Errorf("not the default transport: %+v", w.transport)
	}
}

// TestZeroWatcher: it knows nothing, and nothing changes.
func TestZeroWatcher(t *testing.T) {
	var w Watcher
	if _, ok := w.State("a"); ok || w.States() == nil || len(w.States()) != 0 || len(w.Engines()) != 0 || len(w.Gateways()) != 0 {
		t.Error("something is known")
	}
	select {
	case <-w.Changed():
		t.Error("something has changed")
	default:
	}
	w.Wait()
}

// TestOwnCopies: whatever a caller does with what it got, others do not see it.
func TestOwnCopies(t *testing.T) {
	watch(t, func(w http.ResponseWriter, r *http.Request) {
		s := begin(w, r)
		s.send("snapshot", states(engine("a", 1000, map[string]any{"last_heartbeat_ms": 5})))
		s.bookmarks()
	}, func(t *testing.T, g *fakeGateway, w *Watcher) {
		synctest.Wait()
		for _, e := range w.Engines() {
			e.TimestampMs, *e.LoadTimestampMs, *e.LastHeartbeatMs, *e.PushIntervalMs, *e.SourceAddr = 1, 1, 1, 1, "x"
		}
		for _, e := range w.Engines() {
			if e.TimestampMs != 1000 || *e.LoadTimestampMs != 1000 || *e.LastHeartbeatMs != 5 || *e.PushIntervalMs != 200.5 || *e.SourceAddr != "192.0.2.1:40000" {
				t.Errorf("%+v", e)
			}
		}
		all := w.States()
		all["a"] = State{}
		delete(all, "a")
		if s, ok := w.State("a"); !ok || s.TimestampMs != 1000 {
			t.Errorf("%+v", s)
		}
		if len(w.Engines()) != 1 {
			t.Errorf("%+v", w.Engines())
		}
	})
}
