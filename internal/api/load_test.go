package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/elrar/state-gateway/state"
)

// occupy takes all the room of a load, as answers under way do, until the function that it returns is called.
func occupy(t *testing.T, l *load) (vacate func()) {
	t.Helper()
	n := places(l.most)
	if !l.places.TryAcquire(n) {
		t.Fatal("somebody takes an answer")
	}
	return func() { l.places.Release(n) }
}

// idle checks that nothing is counted any more.
func (l *load) idle(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != 0 || len(l.taking)+len(l.next) != 0 {
		t.Errorf("%d bytes of %d readers are still counted, and %d answers to be made", l.held, len(l.taking), len(l.next))
	}
	if !l.bytes.TryAcquire(l.most) || !l.places.TryAcquire(places(l.most)) {
		t.Fatal("bytes or places were not given back")
	}
	l.bytes.Release(l.most)
	l.places.Release(places(l.most))
}

// Beside readers that take all the room an answer is refused after a while, and says when to come again; small ones are
// not, and the metrics are not for the sake of others.
func TestTooManySlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
		refused := func(targets ...string) {
			t.Helper()
			for _, target := range targets {
				begin := time.Now()
				w := get(t, a, target)
				wantProblem(t, w, 503, "slow readers")
				if w.Header().Get("Retry-After") == "" || time.Since(begin) != patience {
					t.Errorf("%s: Retry-After %q after %v", target, w.Header().Get("Retry-After"), time.Since(begin))
				}
			}
		}
		vacate := occupy(t, a.states)
		refused("/v1/engine-states", "/v1/engines", "/v1/history?engine_id=a")
		for _, target := range []string{"/stats", "/livez", "/readyz", "/metrics"} {
			if w := get(t, a, target); w.Code != 200 {
				t.Errorf("%s: %d", target, w.Code)
			}
		}
		vacate()
		vacate = occupy(t, a.scrapes)
		refused("/stats", "/metrics")
		if w := get(t, Health(a), "/metrics"); w.Code != 200 {
			t.Errorf("the health address's /metrics: %d", w.Code)
		}
		vacate()
		for range 3 {
			for _, target := range []string{"/v1/engine-states", "/metrics"} {
				if w := get(t, a, target); w.Code != 200 {
					t.Errorf("%s: %d", target, w.Code)
				}
			}
		}
		for _, l := range []*load{a.states, a.scrapes, a.probes} {
			l.idle(t)
		}
	})
}

// sized returns a render of answers of so many bytes.
func sized(bytes int64) func([]byte) ([]byte, *problem) {
	return func([]byte) ([]byte, *problem) { return make([]byte, bytes-1, bytes), nil }
}

// Readers that have stalled give way to one that reads, the oldest first and no more of them than it takes; and an answer
// on its own may be larger than all of them together.
func TestStalledReadersGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(newTurns(), maxHeld)
		var cut []int
		var readers []*reader
		for i := range 4 {
			l.sizes["x"] = maxHeld / 4
			readers = append(readers, l.get(t.Context(), "x", fmt.Sprint(i), sized(maxHeld/4), func() {
				cut = append(cut, i)
				go l.release(readers[i])
			}))
		}
		if r := l.get(t.Context(), "x", "", sized(maxHeld/4), nil); r.answer.problem == nil || cut != nil {
			t.Error("room was found before anybody's patience was over")
		}
		time.Sleep(time.Nanosecond)
		l.sizes["x"] = maxHeld / 2
		r := l.get(t.Context(), "x", "", sized(maxHeld/2), nil)
		if r.answer.problem != nil || fmt.Sprint(cut) != "[0 1]" || l.held != maxHeld {
			t.Errorf("%+v: cut off %v, held %d", r.answer.problem, cut, l.held)
		}
		for _, other := range append(readers[2:], r) {
			l.release(other)
		}
		l.idle(t)
		r = l.get(t.Context(), "x", "", sized(3*maxHeld), nil)
		if r.answer.problem != nil {
			t.Error("a large answer was refused although nobody else waits")
		}
		l.release(r)
		l.idle(t)
	})
}

// Those that ask for the same before it is begun share one answer; who comes later gets another, made after it came.
func TestEqualAnswersAreMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(newTurns(), maxHeld)
		const readers = 20
		made := 0
		begun, further := make(chan struct{}), make(chan struct{})
		render := func(dst []byte) ([]byte, *problem) {
			made++
			if made == 1 {
				close(begun)
				<-further
			}
			return append(dst, byte('0'+made)), nil
		}
		got := make(chan string, readers+1)
		ask := func() {
			r := l.get(t.Context(), "x", "", render, nil)
			got <- string(r.answer.body)
			l.release(r)
		}
		for range cap(l.turns) - 1 { // one turn is left
			l.turns <- struct{}{}
		}
		go ask()
		<-begun
		for range readers {
			go ask()
		}
		synctest.Wait()
		close(further)
		counts := map[string]int{}
		for range readers + 1 {
			counts[<-got]++
		}
		synctest.Wait()
		if fmt.Sprint(counts) != fmt.Sprint(map[string]int{"1\n": 1, "2\n": readers}) || made != 2 {
			t.Errorf("%d made: %v", made, counts)
		}
		l.idle(t)
	})
}

// However many poll and do not read, in whatever variants, the bytes of their answers and the readers stay within bounds;
// the others are told to come again, and when all have gone nothing is counted any more.
func TestPollersStayWithinBounds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const pollers = 500
		l := w.api.states // small, for this test
		l.most, l.bytes, l.places = 4<<20, semaphore.NewWeighted(4<<20), semaphore.NewWeighted(places(4<<20))
		for i := range 2000 {
			w.apply(engineID(i), 1)
		}
		targets := []string{"/v1/engines", "/v1/engine-states", "/v1/engines?status=fresh", "/v1/engine-states?stale=exclude"}
		var most int64
		check := func() {
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			bodies := map[*answer]int64{}
			for _, r := range l.taking {
				bodies[r.answer] = int64(cap(r.answer.body))
			}
			var sum int64
			for _, n := range bodies {
				sum += n
			}
			most = max(most, sum)
			if alone := len(bodies) == 1; sum > l.most && !alone || sum > l.held && !alone || int64(len(l.taking)) > places(l.most) {
				t.Errorf("%d bytes in %d bodies of %d readers; %d counted, %d allowed", sum, len(bodies), len(l.taking), l.held, l.most)
			}
		}
		var refused, answered atomic.Int64
		var group sync.WaitGroup
		for i := range pollers {
			ours, theirs := net.Pipe()
			w.pipes.conns <- theirs
			group.Go(func() {
				defer ours.Close()
				fmt.Fprintf(ours, "GET %s HTTP/1.1\r\nHost: gateway\r\n\r\n", targets[i%len(targets)])
				line := make([]byte, len("HTTP/1.1 200"))
				if _, err := io.ReadFull(ours, line); err != nil {
					return
				}
				if string(line[9:]) == "503" {
					refused.Add(1)
					return
				}
				answered.Add(1)
				time.Sleep(time.Minute) // and takes no more
			})
			if i%10 == 0 {
				check()
			}
		}
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			check()
		}
		time.Sleep(2 * time.Minute)
		group.Wait()
		synctest.Wait()
		t.Logf("%d answered, %d refused, at most %d bytes held", answered.Load(), refused.Load(), most)
		if refused.Load() == 0 || answered.Load() == 0 || most == 0 {
			t.Errorf("%d answered, %d refused, at most %d bytes held", answered.Load(), refused.Load(), most)
		}
		l.idle(t)
	})
}

// A client that goes while it waits for its turn gives the turn up.
func TestGoneBeforeItsTurn(t *testing.T) {
	a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
	for range cap(a.states.turns) {
		a.states.turns <- struct{}{}
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
		<-a.states.turns
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
