package api

import (
	"slices"
	"time"

	"github.com/elrar/state-gateway/state"
)

const (
	// bookmarkInterval and a tick's delay are at most a second.
	bookmarkInterval = time.Second - tickInterval

	// snapshotShare is how much of one processor snapshots of one variant may take: one part in so many. Many watchers that
	// come one by one, or fall behind, wait for each other's snapshot then.
	snapshotShare = 10
)

// feed is what the hub's goroutine knows of the table and its events. It ends with the goroutine, and so does its memory.
type feed struct {
	*hub
	scratch    []byte
	cuts       []int // of the event that is being encoded; see event
	follow     func(changed func(*state.Held), removed func(engineID string))
	ticks      uint64
	bookmarked time.Time
	snapshots  [variants]snapshots

	// Of the tick at hand.
	now     state.Instant
	clock   time.Time
	limited bool // somebody wants events split
	changed []state.Held
	removed []string
	all     []state.Held // every engine, once a snapshot is wanted
}

// snapshots is what is known of one variant's.
type snapshots struct {
	bytes int       // of the newest
	next  time.Time // not before
}

// tick looks for what has changed, and tells the watchers.
func (f *feed) tick(watchers []*watcher) {
	f.ticks++
	f.now, f.clock = f.api.gateway.Now(), time.Now()
	f.changed, f.removed, f.all = f.changed[:0], f.removed[:0], f.all[:0]
	f.limited = slices.ContainsFunc(watchers, func(w *watcher) bool { return w.limit > 0 })
	f.follow(
		func(held *state.Held) { f.changed = append(f.changed, *held) },
		func(engineID string) { f.removed = append(f.removed, engineID) },
	)
	if len(f.changed)+len(f.removed) > 0 || f.revision == 0 {
		f.revision++
	}
	var removed, bookmark *event
	if len(f.removed) > 0 {
		slices.Sort(f.removed)
		removed = f.encodeRemoved()
	}
	if f.clock.Sub(f.bookmarked) >= bookmarkInterval {
		f.bookmarked = f.clock
		bookmark = f.encodeBookmark()
	}

	update, snapshot := f.once(f.encodeUpdate), f.once(f.encodeSnapshot)
	for _, w := range watchers {
		switch first, news := w.wants(); {
		case first:
			w.start(snapshot(w.variant))
		case news:
			for _, e := range [...]*event{update(w.variant), removed, bookmark} {
				w.put(e, f.snapshots[w.variant.index()].bytes)
			}
		}
	}
	f.evict(watchers)
}

// once returns a function that encodes an event for each variant that is asked for, once.
func (f *feed) once(encode func(v variant) *event) func(v variant) *event {
	var events [variants]*event
	var encoded [variants]bool
	return func(v variant) *event {
		i := v.index()
		if !encoded[i] {
			encoded[i], events[i] = true, encode(v)
		}
		return events[i]
	}
}

// encodeUpdate returns the update of this tick, nil if there is nothing to be told.
func (f *feed) encodeUpdate(v variant) *event {
	if len(f.changed) == 0 {
		return nil
	}
	return f.encodeStates(eventUpdate, v, f.changed)
}

// encodeSnapshot returns a snapshot of this tick, nil if it is too early for another one.
func (f *feed) encodeSnapshot(v variant) *event {
	s := &f.snapshots[v.index()]
	if f.clock.Before(s.next) {
		return nil
	}
	begun := time.Now()
	if len(f.all) == 0 {
		f.api.table.Range(func(held *state.Held) bool {
			f.all = append(f.all, *held)
			return true
		})
	}
	e := f.encodeStates(eventSnapshot, v, f.all)
	s.bytes, s.next = len(e.frame), f.clock.Add(min(snapshotShare*time.Since(begun), bookmarkInterval))
	return e
}

// evict ends the streams of those who take too long for an event, or, when the events that are kept for all of them are
// too large together, for longer than others have to wait.
func (f *feed) evict(watchers []*watcher) {
	kept := 0
	for _, w := range watchers {
		kept += w.weigh(f.ticks)
	}
	limit := takeLimit
	if int64(kept) > f.api.held {
		limit = patience
	}
	for _, w := range watchers {
		if w.overdue(f.clock, limit) {
			w.end(encodeEnd(endSlow), f.clock.Add(endGrace))
			f.api.metrics.evicted.Inc()
		}
	}
}
