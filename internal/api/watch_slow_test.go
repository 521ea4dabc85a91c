package api

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A watcher that falls behind is sent a snapshot instead of what it has missed, and then updates again.
func TestSlowWatcherSkips(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const engines = 1000
		fill := func(n int64) {
			for i := range engines {
				w.apply(engineID(i), n)
			}
		}
		fill(0)
		s := w.open("")
		defer s.conn.Close()
		other := w.watch("")
		defer other.conn.Close()
		settle(tickInterval * 3 / 2) // which may come at the second tick only
		const missed = 20
		for n := range int64(missed) { // updates of all engines, while it does not read its snapshot
			fill(n + 1)
			settle(tickInterval)
		}
		go s.follow()
		fill(missed + 1)
		settle(tickInterval)
		fill(missed + 2)
		settle(tickInterval)
		events := s.drain()
		if got := strings.Join(names(events), " "); got != "snapshot snapshot update" {
			t.Fatalf("%s", got)
		}
		for i, want := range []int64{0, missed + 1, missed + 2} {
			var e wireEvent[wireState]
			strict(t, []byte(events[i].data), &e)
			if len(e.States) != engines || *e.Revision != uint64(want+1) {
				t.Errorf("%s: %d engines at revision %d, want revision %d", events[i].name, len(e.States), *e.Revision, want+1)
			}
			for id, state := range e.States {
				if *state.PendingTokensTotal != want {
					t.Fatalf("%s: %s has state %d, want %d", events[i].name, id, *state.PendingTokensTotal, want)
				}
			}
		}
		if n := strings.Count(strings.Join(names(other.drain()), " "), "update"); n != missed+2 {
			t.Errorf("another watcher got %d updates", n)
		}
	})
}

// What waits for a watcher that does not read is no more than a snapshot and a little.
func TestBacklogIsBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 1000 {
			w.apply(engineID(i), 0)
		}
		s := w.open("?fields=engines")
		defer s.conn.Close()
		most := 0
		for n := range int64(30) {
			for i := range 250 {
				w.apply(engineID(int(n)*250%1000+i), n+1)
			}
			settle(tickInterval)
			for _, watcher := range w.api.hub.present() {
				watcher.mu.Lock()
				most = max(most, watcher.bytes)
				if snapshot := len(watcher.taken.frame); watcher.bytes > snapshot+leastBacklog || watcher.taken.kind != eventSnapshot {
					t.Fatalf("%d bytes wait behind %s of %d", watcher.bytes, watcher.taken.kind, snapshot)
				}
				watcher.mu.Unlock()
			}
		}
		if most < 100_000 {
			t.Errorf("never more than %d bytes waited", most)
		}
	})
}

// A watcher that takes nothing for takeLimit is cut off: with the reason if it takes it then, without if not.
func TestStalledWatcherIsCutOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.apply("http://a:8000", 1)
		lasting, lost := w.open(""), w.open("")
		defer lasting.conn.Close()
		defer lost.conn.Close()
		reading := w.watch("")
		defer reading.conn.Close()
		settle(takeLimit)
		if n := w.figure("watchers_evicted_total"); n != 0 {
			t.Errorf("%v cut off before their time", n)
		}
		settle(2 * tickInterval)
		if n := w.figure("watchers_evicted_total"); n != 2 {
			t.Errorf("%v cut off, want 2", n)
		}
		go lasting.follow()
		settle(endGrace)
		events := lasting.drain()
		if got := strings.Join(names(events), " "); got != "snapshot end" || lasting.over() != io.EOF ||
			events[1].data != `{"reason": "slow", "detail": "the events were not taken in time"}` {
			t.Errorf("%s: %+v, %v", got, events, lasting.over())
		}
		if e, err := lost.read(); err == nil {
			t.Errorf("%+v", e)
		}
		if n := w.figure("watchers"); n != 1 || reading.over() != nil {
			t.Errorf("%v watch; the one that reads: %v", n, reading.over())
		}
		if n := w.figure(`watch_events_total{event="end"}`); n != 1 {
			t.Errorf("%v last events", n)
		}
	})
}

// When what is kept for all of them together is too much, watchers have less time.
func TestStalledWatchersOfLargeTables(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		fat := strings.Repeat("x", 200)
		for i := range 9000 { // a snapshot is more than 4 MB
			w.apply(engineID(i)+fat, 1)
		}
		var streams []*stream
		for range 6 { // each stalls in a snapshot of its own
			streams = append(streams, w.open("?stale=include"))
			settle(time.Second / 8)
		}
		settle(tickInterval)
		if n := w.figure("watchers_evicted_total"); n != 0 {
			t.Fatalf("%v cut off with %d kept snapshots", n, len(streams))
		}
		for range 4 {
			streams = append(streams, w.open("?stale=include"))
			settle(time.Second / 8)
		}
		settle(tickInterval)
		n := w.figure("watchers_evicted_total")
		if n == 0 || n == float64(len(streams)) {
			t.Errorf("%v of %d cut off after %v", n, len(streams), 10*time.Second/8)
		}
		for _, s := range streams {
			s.conn.Close()
		}
	})
}

// Watchers that come one by one do not have a processor encode nothing but their snapshots.
func TestSnapshotsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second)))).hub
		f := &feed{hub: h, follow: h.api.table.Follow()}
		patient := func() *watcher { return newWatcher(variant{}, 0, func(time.Time) error { return nil }) }
		first, second := patient(), patient()
		f.tick([]*watcher{first})
		f.snapshots[0].next = time.Now().Add(3 * tickInterval) // it took a third of a tick
		for i := range 4 {
			f.tick([]*watcher{first, second})
			if got := second.next() != nil; got != (i == 3) {
				t.Errorf("tick %d: a snapshot: %v", i, got)
			}
			time.Sleep(tickInterval)
		}
		if f.snapshots[0].next.After(time.Now()) {
			t.Error("a snapshot that took no time holds up the next one")
		}
	})
}

// A fault in the feed ends the streams that there are and nothing else.
func TestWatchPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t, func(table Table, gw Gateway, info Info) *api {
			return New(table, gw, info, slog.New(slog.NewTextHandler(&log, nil))).(*api)
		})
		t.Cleanup(w.shutdown)
		w.apply("http://a:8000", 1)
		w.api.table = &panicking{}
		s := w.watch("")
		settle(time.Second)
		events := s.drain()
		if len(events) != 1 || events[0].name != "end" || !strings.Contains(events[0].data, `"failed"`) || s.over() != io.EOF {
			t.Errorf("%+v %v", events, s.over())
		}
		s.conn.Close()
		if n := strings.Count(log.String(), "follow of a broken table"); n != 1 {
			t.Errorf("%d messages: %s", n, log.String())
		}
		w.api.table = w.table
		s = w.watch("")
		settle(time.Second)
		if got := strings.Join(names(s.drain()), " "); got != "snapshot bookmark" {
			t.Errorf("afterwards: %s", got)
		}
		s.conn.Close()
	})
}
