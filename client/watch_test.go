package client

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func ids(w *Watcher) []string { return slices.Sorted(maps.Keys(w.States())) }

func TestEvents(t *testing.T) {
	watch(t, nil, func(t *testing.T, g *fakeGateway, w *Watcher) {
		step := g.steps
		defer close(step)
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := ids(w); !slices.Equal(got, want) {
				t.Fatalf("engines %v, want %v", got, want)
			}
		}
		expect()
		changed := w.Changed()
		step <- func(s *stream) { s.send("snapshot", states(engine("a", 1000), engine("b", 1000))) }
		expect("a", "b")
		select {
		case <-changed:
		default:
			t.Error("no change was told")
		}
		want := State{EngineID: "a", TimestampMs: 1000, LatencyPredMs: 21.253122228102537, SchedulingMode: "balanced", PendingTokensTotal: 5,
			KVCacheFreeBlocks: 10, KVCacheTotalBlocks: 20, EngineCapacity: 59768.2749641796}
		if got, ok := w.State("a"); !ok || got != want {
			t.Errorf("%+v", got)
		}
		if _, ok := w.State("c"); ok {
			t.Error("an engine that is not there")
		}
		engines := w.Engines()
		if e := engines[slices.IndexFunc(engines, func(e Engine) bool { return e.EngineID == "b" })]; e.Status != Fresh || *e.PushIntervalMs != 200.5 ||
			*e.SourceAddr != "192.0.2.1:40000" || e.LastHeartbeatMs != nil || *e.LoadTimestampMs != 1000 || e.ReceivedAtMs != 1001 || e.ClockSkewMs != 1 {
			t.Errorf("%+v", e)
		}
		step <- func(s *stream) {
			s.send("update", states(engine("a", 1001), engine("c", 7)))
			s.send("gossip", map[string]any{"of": "a later version"})
			s.send("removed", map[string]any{"revision": 3, "engine_ids": []string{"b", "never heard of"}})
		}
		expect("a", "c")
		if s, _ := w.State("a"); s.TimestampMs != 1001 {
			t.Errorf("%+v", s)
		}
		// A second snapshot on the stream: what is not in it ages. 1 s later a is refreshed, and at 2.5 s c is stale.
		time.Sleep(time.Second)
		step <- func(s *stream) { s.send("snapshot", states(engine("a", 1002))) }
		expect("a", "c")
		time.Sleep(1500 * time.Millisecond)
		expect("a")
		if g := w.Gateways()[0]; !g.Connected || g.Streams != 1 || g.Problem != nil {
			t.Errorf("%+v", g)
		}
	})
}

// TestSplitSnapshot: one that a proxy or the gateway has split, as it does when max_event_bytes is asked for, comes to the
// same as a whole one: nobody who is in a later part is lost meanwhile, unless it is stale.
func TestSplitSnapshot(t *testing.T) {
	more := func(all map[string]any) map[string]any { all["more"] = true; return all }
	watch(t, nil, func(t *testing.T, g *fakeGateway, w *Watcher) {
		step := g.steps
		defer close(step)
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := ids(w); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
		for n := range int64(2) {
			step <- func(s *stream) { s.send("snapshot", more(states(engine("a", 1000+n)))) }
			expect([][]string{{"a"}, {"a", "b", "c"}}[n]...)
			step <- func(s *stream) { s.send("update", more(states(engine("b", 1000+n)))) }
			expect([][]string{{"a", "b"}, {"a", "b", "c"}}[n]...)
			step <- func(s *stream) { s.send("update", states(engine("c", 1000+n))) }
			expect("a", "b", "c")
			for id, s := range w.States() {
				if s.TimestampMs != 1000+n {
					t.Errorf("%s is of %d", id, s.TimestampMs)
				}
			}
		}
	})
}

// TestLostGateway: without its gateway an engine ages by the clock here, is not shown when it is stale, and that is told.
func TestLostGateway(t *testing.T) {
	for name, lose := range map[string]func(*stream){
		"ends":   func(*stream) {},
		"stalls": func(s *stream) { <-s.request.Context().Done() },
		"says so": func(s *stream) {
			s.send("end", map[string]any{"reason": "stopping", "detail": "the gateway is stopping"})
			<-s.request.Context().Done()
		},
		"trickles": func(s *stream) {
			for s.write(": still here\n") && s.pause(time.Second) {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			watch(t, func(w http.ResponseWriter, r *http.Request) {
				if !first {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				first = false
				s := begin(w, r)
				s.send("snapshot", states(engine("old", 1, map[string]any{"age_ms": 1500}), engine("new", 1), engine("heartbeats", 1, map[string]any{"stale_after_ms": 2500})))
				lose(s)
			}, func(t *testing.T, g *fakeGateway, w *Watcher) {
				begin := time.Now()
				for _, expected := range []struct {
					after time.Duration
					ids   []string
					last  bool // before the next one goes
				}{
					{0, []string{"heartbeats", "new", "old"}, false},
					{499 * time.Millisecond, []string{"heartbeats", "new", "old"}, true},
					{501 * time.Millisecond, []string{"heartbeats", "new"}, false},
					{1999 * time.Millisecond, []string{"heartbeats", "new"}, true},
					{2001 * time.Millisecond, []string{"heartbeats"}, true},
					{2501 * time.Millisecond, nil, false},
				} {
					time.Sleep(time.Until(begin.Add(expected.after)))
					synctest.Wait()
					changed := w.Changed()
					if got := ids(w); !slices.Equal(got, expected.ids) {
						t.Errorf("after %v: %v, want %v", expected.after, got, expected.ids)
					}
					if expected.last {
						<-changed // the test hangs, and the bubble says so, if nothing tells of the next one
					}
				}
				time.Sleep(time.Until(begin.Add(silence + 10*time.Millisecond)))
				synctest.Wait()
				if g := w.Gateways()[0]; g.Connected || g.Problem == nil {
					t.Errorf("%+v", g)
				}
			})
		})
	}
}

// TestIncludeStale shows what is stale as such.
func TestIncludeStale(t *testing.T) {
	watch(t, func(w http.ResponseWriter, r *http.Request) {
		s := begin(w, r)
		s.send("snapshot", states(engine("a", 1)))
		s.bookmarks()
	}, func(t *testing.T, g *fakeGateway, w *Watcher) {
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if e := w.Engines(); len(e) != 1 || e[0].Status != Stale || e[0].Age(time.Now()) != 10*time.Second || len(w.States()) != 1 {
			t.Errorf("%+v", e)
		}
		if _, ok := w.State("a"); !ok {
			t.Error("not shown")
		}
	}, IncludeStale())
}

// TestReturn: however long a gateway was away, it is found within two seconds of its return, and not asked all the time.
func TestReturn(t *testing.T) {
	for away := 100 * time.Millisecond; away < time.Hour; away *= 3 {
		watch(t, func(w http.ResponseWriter, r *http.Request) {
			s := begin(w, r)
			s.send("snapshot", states(engine("a", 1)))
			s.bookmarks()
		}, func(t *testing.T, g *fakeGateway, w *Watcher) {
			time.Sleep(5 * time.Second)
			g.stop()
			synctest.Wait()
			if status := w.Gateways()[0]; status.Connected {
				t.Fatalf("%+v", status)
			}
			time.Sleep(away)
			g.start()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if status := w.Gateways()[0]; !status.Connected || status.Streams != 2 {
				t.Errorf("after %v: %+v", away, status)
			}
			if most := int(away/(200*time.Millisecond)) + 12; g.attempts() > most {
				t.Errorf("after %v: %d attempts", away, g.attempts())
			}
		})
	}
}

// TestBadAnswers: whatever a gateway answers, it is a problem with a name, and the client goes on.
func TestBadAnswers(t *testing.T) {
	event := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			begin(w, r).write(text)
			<-r.Context().Done()
		}
	}
	without := func(name string) string {
		var b bytes.Buffer
		all := states(engine("a", 1))
		delete(all["states"].(map[string]any)["a"].(map[string]any), name)
		(&stream{w: &recorder{Buffer: &b}}).send("snapshot", all)
		return b.String()
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"status": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "503"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.test/", http.StatusFound)
		}, "302"},
		"type":           {func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("<html>")) }, "text/html"},
		"empty":          {func(w http.ResponseWriter, r *http.Request) { begin(w, r) }, "ended the stream"},
		"not JSON":       {event("event: snapshot\ndata: nonsense\n\n"), "not understood"},
		"an array":       {event("event: update\ndata: []\n\n"), "not understood"},
		"wrong type":     {event(`event: update` + "\n" + `data: {"states": {"a": 1}}` + "\n\n"), "not understood"},
		"null engine":    {event(`event: update` + "\n" + `data: {"states": {"a": null}}` + "\n\n"), "lacks the ages"},
		"no age":         {event(without("age_ms")), "lacks the ages"},
		"no stale_after": {event(without("stale_after_ms")), "lacks the ages"},
		"no id":          {event(without("engine_id")), "another one's name"},
		"endless age":    {event(`event: update` + "\n" + `data: {"states": {"a": {"engine_id": "a", "age_ms": 1e300, "stale_after_ms": 2000}}}` + "\n\n"), "cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			var said safeBuffer
			watch(t, c.answer, func(t *testing.T, g *fakeGateway, w *Watcher) {
				time.Sleep(20 * time.Second)
				synctest.Wait()
				status := w.Gateways()[0]
				if status.Problem == nil || !strings.Contains(status.Problem.Error(), c.want) {
					t.Errorf("%+v, want %q", status, c.want)
				}
				if len(w.States()) != 0 {
					t.Errorf("%v", w.States())
				}
			}, Logger(slog.New(slog.NewTextHandler(&said, nil))))
			if n := strings.Count(said.String(), "\n"); n != 1 {
				t.Errorf("%d lines:\n%s", n, said.String())
			}
		})
	}
}

// TestLongEvent: memory is bounded.
func TestLongEvent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for s := begin(w, r); s.write("data: " + strings.Repeat("x", 1<<20) + "\n"); {
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := Watch(ctx, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for {
		changed := w.Changed()
		if p := w.Gateways()[0].Problem; p != nil {
			if !strings.Contains(p.Error(), "too long") {
				t.Error(p)
			}
			break
		}
		<-changed
	}
	cancel()
	w.Wait()
}

type recorder struct {
	*bytes.Buffer
	http.ResponseWriter
}

func (r *recorder) Write(p []byte) (int, error) { return r.Buffer.Write(p) }

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestLate: a path that delays everything by more than the silence allowed is as good as none, though its bookmarks come
// as regularly as ever.
func TestLate(t *testing.T) {
	watch(t, func(w http.ResponseWriter, r *http.Request) {
		s := begin(w, r)
		s.send("snapshot", states())
		for delay := time.Duration(0); ; delay += 500 * time.Millisecond { // each is later than the one before
			late := map[string]any{"server_time_ms": time.Now().Add(-delay).UnixMilli()}
			if !s.send("bookmark", late) || !s.pause(time.Second) {
				return
			}
		}
	}, func(t *testing.T, g *fakeGateway, w *Watcher) {
		for range 200 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if p := w.Gateways()[0].Problem; p != nil {
				if p.Error() != "its events come more than 3s late" {
					t.Error(p)
				}
				return
			}
		}
		t.Error("not noticed")
	})
}

// TestReadersAndWriter has many readers at once with events; the race detector looks on.
func TestReadersAndWriter(t *testing.T) {
	w := &Watcher{}
	tab := &w.table
	tab.divide(2)
	var running sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-w.Changed():
				default:
				}
				for id, s := range w.States() {
					if s.EngineID != id || s.PendingTokensTotal != s.TimestampMs {
						t.Errorf("%q: %+v", id, s)
					}
				}
				w.State("a")
				w.Engines()
			}
		})
	}
	for i := range int64(3000) {
		e := &told{Engine: Engine{State: State{EngineID: "a", TimestampMs: i, PendingTokensTotal: i}, Heard: time.Now(), StaleAfter: time.Minute}}
		tab.update(int(i%2), map[string]*told{"a": e})
		if i%100 == 0 {
			tab.remove(0, []string{"a"})
			tab.replace(1, nil, time.Now())
		}
	}
	close(stop)
	running.Wait()
}

// TestEachStaleTold: an engine that turns stale is told of although another one comes at the same time.
func TestEachStaleTold(t *testing.T) {
	watch(t, func(w http.ResponseWriter, r *http.Request) {
		s := begin(w, r)
		s.send("snapshot", states(engine("a", 1)))
		s.pause(1950 * time.Millisecond)
		s.send("update", states(engine("b", 1)))
		s.bookmarks()
	}, func(t *testing.T, g *fakeGateway, w *Watcher) {
		begin := time.Now()
		await(w, func() bool { return slices.Equal(ids(w), []string{"a", "b"}) })
		await(w, func() bool { return slices.Equal(ids(w), []string{"b"}) })
		if took := time.Since(begin); took > 2*time.Second+agesInterval {
			t.Errorf("told after %v", took)
		}
	})
}
