package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elrar/state-gateway/state"
)

// An answer that does not fit beside those that readers are still taking is refused; small ones are not, and the metrics
// are not for the sake of others.
func TestTooManySlowReaders(t *testing.T) {
	a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
	states := a.states.hold(maxHeld, func() { t.Error("a reader was cut off before its time") })
	for _, target := range []string{"/v1/engine-states", "/v1/engines", "/v1/history?engine_id=a"} {
		w := get(t, a, target)
		wantProblem(t, w, 503, "slow readers")
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", target)
		}
	}
	for _, target := range []string{"/stats", "/livez", "/readyz", "/metrics"} {
		if w := get(t, a, target); w.Code != 200 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	a.states.release(states)
	scrapes := a.scrapes.hold(maxHeld, func() {})
	for _, target := range []string{"/stats", "/metrics"} {
		wantProblem(t, get(t, a, target), 503, "slow readers")
	}
	a.scrapes.release(scrapes)
	for range 3 {
		for _, target := range []string{"/v1/engine-states", "/metrics"} {
			if w := get(t, a, target); w.Code != 200 {
				t.Errorf("%s: %d", target, w.Code)
			}
		}
	}
	if a.states.held != 0 || a.scrapes.held != 0 || len(a.states.waiting)+len(a.scrapes.waiting) != 0 {
		t.Errorf("%d and %d bytes are still counted", a.states.held, a.scrapes.held)
	}
}

// Readers that have stalled give way to one that reads, the oldest first and no more of them than it takes; and an answer
// on its own may be larger than all of them together.
func TestStalledReadersGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{}
		var cut []int
		var holdings []*holding
		for i := range 4 {
			holdings = append(holdings, l.hold(maxHeld/4, func() { cut = append(cut, i) }))
		}
		if l.hold(1, nil) != nil {
			t.Error("room was found before anybody's patience was over")
		}
		time.Sleep(patience + 1)
		h := l.hold(maxHeld/2, nil)
		if h == nil || fmt.Sprint(cut) != "[0 1]" || l.held != maxHeld {
			t.Errorf("cut off %v, held %d", cut, l.held)
		}
		for _, other := range append(holdings, h) { // those cut off release theirs, too
			l.release(other)
		}
		if l.held != 0 || len(l.waiting) != 0 {
			t.Errorf("%d bytes of %d readers are still counted", l.held, len(l.waiting))
		}
		if l.hold(3*maxHeld, nil) == nil {
			t.Error("a large answer was refused although nobody else waits")
		}
	})
}

// A client that goes while it waits for its turn gives the turn up.
func TestGoneBeforeItsTurn(t *testing.T) {
	a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
	for range cap(a.states.turns) {
		a.states.begin(t.Context())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	whole := []string{"/v1/engine-states", "/v1/engines", "/v1/history?engine_id=a", "/stats", "/v1/stats", "/metrics"} // look at the whole table
	for _, target := range whole {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", target, nil))
		if w.Body.Len() != 0 {
			t.Errorf("%s: answered %s", target, w.Body)
		}
	}
	if w := get(t, a, "/livez"); w.Code != 200 {
		t.Errorf("/livez: %d", w.Code)
	}
	for range cap(a.states.turns) {
		a.states.end()
	}
	for _, target := range whole {
		if w := get(t, a, target); w.Code != 200 {
			t.Errorf("%s afterwards: %d", target, w.Code)
		}
	}
}

// Readers of everything at once, while states arrive: each answer is whole, and no state is a mixture of two.
func TestConcurrentReaders(t *testing.T) {
	const engines, readers, rounds = 50, 8, 10
	table := newFakeTable()
	for i := range engines {
		table.put(heldAt(engineID(i), 0, at(10*time.Second)))
	}
	gw := &fakeGateway{now: at(10 * time.Second), statistics: sampleStatistics()}
	h := New(table, gw, testInfo(), quietLog())

	var stop atomic.Bool
	var writer, reader sync.WaitGroup
	writer.Go(func() {
		for n := int64(1); !stop.Load(); n++ {
			table.put(heldAt(engineID(int(n)%engines), n, at(10*time.Second)))
		}
	})
	whole := func(s state.State) {
		if s != engineState(s.EngineID, s.PendingTokensTotal) {
			t.Errorf("torn: %+v", s)
		}
	}
	type answers struct{ states, list, history *httptest.ResponseRecorder }
	all := make(chan answers, readers*rounds)
	for range readers {
		reader.Go(func() {
			for i := range rounds {
				all <- answers{get(t, h, "/v1/engine-states"), get(t, h, "/v1/engines"), get(t, h, "/v1/history?"+query("engine_id", engineID(i)))}
				get(t, h, "/stats")
				get(t, h, "/metrics")
			}
		})
	}
	reader.Wait()
	stop.Store(true)
	writer.Wait()
	close(all)
	for a := range all {
		var states map[string]wireState
		decode(t, a.states, &states)
		for _, s := range states {
			whole(s.state(t))
		}
		var list wireEngines
		decode(t, a.list, &list)
		for _, e := range list.Engines {
			whole(e.state(t))
		}
		if len(states) != engines || len(list.Engines) != engines {
			t.Errorf("%d states, %d engines", len(states), len(list.Engines))
		}
		var history wireHistory
		decode(t, a.history, &history)
		for _, r := range history.States {
			whole(r.state(t))
		}
	}
}
