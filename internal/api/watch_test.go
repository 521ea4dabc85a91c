package api

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

func TestWatch(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.apply("http://a:8000", 1)
		w.apply("http://b:8000", 1)
		s := w.watch("")
		defer s.conn.Close()
		if s.response.Header.Get("Cache-Control") != "no-store" || s.response.Header.Get("X-Accel-Buffering") != "no" ||
			s.response.TransferEncoding != nil || s.response.ContentLength != -1 || !s.response.Close {
			t.Errorf("%+v", s.response)
		}
		begin := time.Now()
		settle(tickInterval / 2)
		epoch := w.api.info.Started.Wall / 1e6
		expect := func(event string, id int, data string, args ...any) {
			t.Helper()
			events := s.drain()
			if len(events) != 1 {
				t.Fatalf("events %v, want one %s", names(events), event)
			}
			e := events[0]
			if data = fmt.Sprintf(data, args...); e.name != event || e.id != fmt.Sprintf("%d-%d", epoch, id) || e.data != data {
				t.Fatalf("got  %s %s %s\nwant %s %d-%d %s", e.name, e.id, e.data, event, epoch, id, data)
			}
		}
		object := func(id string, n int64) string {
			state := engineState(id, n)
			return fmt.Sprintf("%q: %s", id, state.AppendJSON(nil))
		}
		var both wireEvent[wireState]
		events := s.drain()
		if len(events) != 1 || events[0].name != "snapshot" {
			t.Fatalf("first %v", names(events))
		}
		strict(t, []byte(events[0].data), &both)
		if *both.Revision != 1 || *both.ServerTimeMs != begin.UnixMilli() || len(both.States) != 2 ||
			both.States["http://a:8000"].state(t) != engineState("http://a:8000", 1) || both.States["http://b:8000"].state(t) != engineState("http://b:8000", 1) {
			t.Fatalf("%+v", events[0])
		}

		w.apply("http://b:8000", 2)
		settle(tickInterval)
		expect("update", 2, `{"revision": 2, "server_time_ms": %d, "states": {%s}}`, begin.Add(tickInterval).UnixMilli(), object("http://b:8000", 2))

		// Two states of one engine between two ticks are one, and a heartbeat that changes no value is news.
		w.apply("http://a:8000", 2)
		w.apply("http://a:8000", 3)
		settle(tickInterval)
		expect("update", 3, `{"revision": 3, "server_time_ms": %d, "states": {%s}}`, begin.Add(2*tickInterval).UnixMilli(), object("http://a:8000", 3))
		w.beat("http://a:8000", 4)
		settle(tickInterval)
		expect("update", 4, `{"revision": 4, "server_time_ms": %d, "states": {%s}}`, begin.Add(3*tickInterval).UnixMilli(), object("http://a:8000", 3))

		// What is not applied is not news.
		older := engineState("http://b:8000", 1)
		w.table.Apply(&older, worldSource, w.gateway.Now())
		settle(tickInterval)
		if events := s.drain(); len(events) != 0 {
			t.Errorf("%v", names(events))
		}

		// a is beaten, and stale later than b.
		for range 4 { // bookmarks
			settle(time.Second)
			events := s.drain()
			if len(events) != 1 || events[0].name != "bookmark" || !strings.HasPrefix(events[0].data, `{"revision": 4, "server_time_ms": `) {
				t.Fatalf("%+v", events)
			}
		}
		w.table.Sweep(w.gateway.Now(), time.Second)
		settle(tickInterval)
		removed := slices.DeleteFunc(s.drain(), func(e sent) bool { return e.name == "bookmark" })
		if len(removed) != 1 || removed[0].data != `{"revision": 5, "engine_ids": ["http://a:8000", "http://b:8000"]}` {
			t.Fatalf("%+v", removed)
		}
		w.apply("http://b:8000", 1)
		settle(tickInterval)
		update := slices.DeleteFunc(s.drain(), func(e sent) bool { return e.name == "bookmark" })
		if len(update) != 1 || update[0].name != "update" {
			t.Fatalf("%+v", update)
		}
	})
}

// A bookmark comes at least every second, whatever else comes, for longer than any of the server's time limits; its
// revision is that of what came before it.
func TestWatchBookmarks(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.watch("")
		defer s.conn.Close()
		for i := range int64(40_000 / 37) { // between two bookmarks now anything, now nothing
			if i/100%2 == 0 {
				w.apply("http://a:8000", i)
			}
			time.Sleep(37 * time.Millisecond)
		}
		settle(time.Second)
		last, revision, bookmarks := time.Time{}, uint64(0), 0
		for i, e := range s.drain() {
			switch e.name {
			case "bookmark":
				var b wireBookmark
				strict(t, []byte(e.data), &b)
				if *b.Revision != revision || *b.ServerTimeMs != e.at.UnixMilli() {
					t.Fatalf("%+v after revision %d", e, revision)
				}
				if since := e.at.Sub(last); i > 1 && bookmarks > 0 && (since > time.Second || since < 900*time.Millisecond) {
					t.Fatalf("a bookmark after %v", since)
				}
				last = e.at
				bookmarks++
			default:
				var u wireEvent[wireState]
				strict(t, []byte(e.data), &u)
				if i == 0 && *u.Revision != 1 || i > 0 && *u.Revision != revision+1 {
					t.Fatalf("event %d, revision %d after %d", i, *u.Revision, revision)
				}
				revision = *u.Revision
			}
		}
		if bookmarks < 40 || s.over() != nil {
			t.Errorf("%d bookmarks; %v", bookmarks, s.over())
		}
	})
}

// A client that waits has no work done for it, and nobody's going leaves any: the bubble would not end with a goroutine
// left.
func TestWatchRests(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		counting := &countingTable{Table: w.table}
		w.api.table = counting
		settle(time.Minute)
		if !counting.had(false, 0, 0) {
			t.Error("work without a watcher")
		}
		w.apply("http://a:8000", 1)
		s := w.watch("")
		settle(time.Second)
		if !counting.had(true, 1, 0) {
			t.Error("not one snapshot of the variant that is watched")
		}
		w.apply("http://a:8000", 2)
		settle(time.Second)
		if !counting.had(true, 0, 0) {
			t.Error("a snapshot or a variant that nobody wants was encoded")
		}
		s.conn.Close()
		settle(time.Second)
		counting.had(true, 0, 0)
		settle(time.Minute)
		if !counting.had(false, 0, 0) {
			t.Error("work after the last watcher has gone")
		}
		w.apply("http://a:8000", 3)
		s = w.watch("?fields=engines") // and it begins again
		settle(time.Second)
		if got := strings.Join(names(s.drain()), " "); got != "snapshot bookmark" || !counting.had(true, 1, 1) {
			t.Error(got)
		}
		s.conn.Close()
	})
}

// countingTable counts what is asked of the table.
type countingTable struct {
	Table
	looks, ranges, intervals atomic.Int64
}

func (c *countingTable) Follow() func(func(*state.Held), func(string)) {
	follow := c.Table.Follow()
	return func(changed func(*state.Held), removed func(string)) {
		c.looks.Add(1)
		follow(changed, removed)
	}
}

func (c *countingTable) Range(yield func(*state.Held) bool) {
	c.ranges.Add(1)
	c.Table.Range(yield)
}

func (c *countingTable) PushInterval(id string) (time.Duration, bool) {
	c.intervals.Add(1)
	return c.Table.PushInterval(id)
}

// had compares the counts; looks are none or some.
func (c *countingTable) had(looks bool, ranges, intervals int64) bool {
	return looks == (c.looks.Swap(0) > 0) && ranges == c.ranges.Swap(0) && intervals == c.intervals.Swap(0)
}

// All watchers of one variant get the same bytes, whenever they came, and those of another variant the same revisions.
func TestWatchersGetTheSame(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var streams []*stream
		for i := range 5 {
			for n := range 10 {
				w.apply(engineID(n), int64(100*i+1))
			}
			streams = append(streams, w.watch("?fields=engines"), w.watch("?fields=engines&stale=exclude"), w.watch("?fields=states"))
			settle(75 * time.Millisecond)
		}
		for i := range 100 {
			w.apply(engineID(i%10), int64(1000+i))
			settle(20 * time.Millisecond)
		}
		settle(time.Second)
		var byVariant [2]map[string]string
		for i, s := range streams {
			seen := &byVariant[min(i%3/2, 1)]
			if *seen == nil {
				*seen = map[string]string{}
			}
			events := s.drain()
			for k, e := range events {
				if e.name == "snapshot" && k == 0 {
					continue // of different moments
				}
				key := e.name + e.id
				if e.name == "bookmark" {
					key += e.data
				}
				if was, ok := (*seen)[key]; ok && was != e.data {
					t.Errorf("stream %d: %s: %s, another one %s", i, key, e.data, was)
				}
				(*seen)[key] = e.data
			}
			if len(events) < 30 {
				t.Errorf("stream %d: %d events", i, len(events))
			}
			s.conn.Close()
		}
		updates := func(seen map[string]string) (ids []string) {
			for key := range seen {
				if strings.HasPrefix(key, "update") {
					ids = append(ids, key)
				}
			}
			slices.Sort(ids)
			return ids
		}
		if a, b := updates(byVariant[0]), updates(byVariant[1]); !slices.Equal(a, b) || len(a) < 30 {
			t.Errorf("%v\n%v", a, b)
		}
	})
}

// With CLOCK=sender an engine whose clock is behind is stale although it sends; its clock decides, not its news.
func TestWatchBySendersClock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.api.info.Rules.SenderClock = true
		s, all := w.watch(""), w.watch("?stale=include&fields=engines")
		settle(tickInterval * 3 / 2)
		for _, behind := range []time.Duration{time.Minute, time.Second} {
			late := engineState("http://a:8000", 0)
			late.TimestampMs = time.Now().Add(-behind).UnixMilli()
			w.table.Apply(&late, worldSource, w.gateway.Now())
			settle(tickInterval)
		}
		if got := strings.Join(names(s.drain()), " "); got != "snapshot update" {
			t.Error(got)
		}
		events := all.drain()
		if got := strings.Join(names(events), " "); got != "snapshot update update" {
			t.Fatal(got)
		}
		for i, want := range []float64{60_025, 1_025} {
			var e wireEvent[wireEngine]
			strict(t, []byte(events[i+1].data), &e)
			if age := *e.States["http://a:8000"].AgeMs; age != want {
				t.Errorf("%v ms old, want %v", age, want)
			}
		}
		s.conn.Close()
		all.conn.Close()
	})
}

func TestWatchHead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.ask(http.MethodHead, "/v1/watch?fields=engines")
		if s.response.StatusCode != http.StatusOK || s.response.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%+v", s.response)
		}
		if rest, err := io.ReadAll(s.lines); err != nil || len(rest) != 0 {
			t.Errorf("%q, %v", rest, err)
		}
		s.conn.Close()
		settle(time.Second)
		w.api.hub.mu.Lock()
		defer w.api.hub.mu.Unlock()
		if w.api.hub.running {
			t.Error("it counts as a watcher")
		}
	})
}

// When the gateway stops, every stream ends with the reason, at once, and no other begins.
func TestWatchStops(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 100 {
			w.apply(engineID(i), 1)
		}
		var streams []*stream
		for range 5 {
			streams = append(streams, w.watch(""))
		}
		stalled := w.open("") // in the middle of its snapshot
		settle(time.Second)
		begin := time.Now()
		w.shutdown()
		if took := time.Since(begin) - time.Second; took > 2*endGrace { // a second is shutdown's own
			t.Errorf("the stop took %v", took)
		}
		for _, s := range streams {
			events := s.drain()
			last := events[len(events)-1]
			if last.name != "end" || last.data != `{"reason": "stopping", "detail": "the gateway is stopping"}` || s.over() != io.EOF {
				t.Errorf("%+v, %v", last, s.over())
			}
			s.conn.Close()
		}
		stalled.conn.Close()
		if p := w.api.hub.join(newWatcher(variant{}, 0, nil), netip.Prefix{}); p == nil || p.status != 503 {
			t.Errorf("%+v", p)
		}
	})
}

// More than maxWatchers are refused, and nobody else is.
func TestTooManyWatchers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var streams []*stream
		for i := range maxWatchers {
			w.pipes.remote(i % 3)
			streams = append(streams, w.watch(""))
		}
		refused := w.ask(http.MethodGet, "/v1/watch")
		body, err := io.ReadAll(refused.response.Body)
		if err != nil || refused.response.StatusCode != 503 || refused.response.Header.Get("Content-Type") != "application/problem+json" ||
			refused.response.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "512 clients watch") {
			t.Errorf("%v: %+v %s", err, refused.response, body)
		}
		refused.conn.Close()
		for _, path := range []string{"/v1/engine-states", "/livez", "/metrics"} {
			s := w.ask(http.MethodGet, path)
			if s.response.StatusCode != 200 {
				t.Errorf("%s: %s", path, s.response.Status)
			}
			s.conn.Close()
		}
		streams[7].conn.Close()
		settle(0)
		streams = append(streams, w.watch(""))
		for _, s := range streams {
			s.conn.Close()
		}
	})
}

// The watchers of one address leave room for those of others.
func TestTooManyWatchersOfOneAddress(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var streams []*stream
		for range watchersShare {
			streams = append(streams, w.watch(""))
		}
		refused := w.ask(http.MethodGet, "/v1/watch")
		body, err := io.ReadAll(refused.response.Body)
		if err != nil || refused.response.StatusCode != 503 || refused.response.Header.Get("Retry-After") == "" ||
			!strings.Contains(string(body), "448 clients of your address watch") {
			t.Errorf("%v: %+v %s", err, refused.response, body)
		}
		refused.conn.Close()
		w.pipes.remote(1)
		streams = append(streams, w.watch(""))
		streams[7].conn.Close()
		settle(0)
		w.pipes.remote(0)
		streams = append(streams, w.watch(""))
		for _, s := range streams {
			s.conn.Close()
		}
	})
}
