package api

import (
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/elrar/state-gateway/state"
)

const (
	// tickInterval is how often the watchers get what has changed: a quarter of the usual push interval, so that it adds
	// little to a state's age, and an engine's states are still sent one by one.
	tickInterval = 50 * time.Millisecond

	// bookmarkInterval and a tick's delay are at most a second.
	bookmarkInterval = time.Second - tickInterval

	// maxWatchers leaves half of the server's connections to those who poll, scrape and probe.
	maxWatchers = 512

	// snapshotShare is how much of one processor snapshots of one variant may take: one part in so many. Many watchers that
	// come one by one, or fall behind, wait for each other's snapshot then.
	snapshotShare = 10
)

// hub feeds all watchers. While there are any, one goroutine looks every tick for what has changed, encodes it once for
// each variant that is watched, and puts it in each watcher's queue. Without watchers there is no goroutine and no work.
// The encoding takes no turn (see load): it is one goroutine's, and a late bookmark is an alarm.
type hub struct {
	api   *api
	epoch int64 // Unix ms of the gateway's start: what tells the ids of two processes apart

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	running  bool
	stopped  bool

	// The goroutine's, or those of one after the other.
	revision uint64 // counts updates and removals of all variants together
	scratch  []byte
}

func newHub(a *api) *hub {
	return &hub{api: a, epoch: unixMs(a.info.Started.Wall), watchers: map[*watcher]struct{}{}}
}

// join adds a watcher, unless there are too many or the gateway is stopping.
func (h *hub) join(w *watcher) *problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return problemf(http.StatusServiceUnavailable, "the gateway is stopping")
	case len(h.watchers) >= maxWatchers:
		return problemf(http.StatusServiceUnavailable, "%d clients watch; that is all that may", len(h.watchers))
	}
	h.watchers[w] = struct{}{}
	h.api.metrics.watchers.Inc()
	if !h.running {
		h.running = true
		go h.run()
	}
	return nil
}

// leave removes a watcher.
func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	h.api.metrics.watchers.Dec()
}

// stop ends every stream, and lets none begin.
func (h *hub) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.endAll(endStopping)
}

// endAll: the caller has the lock.
func (h *hub) endAll(why ending) {
	last := encodeEnd(why)
	for w := range h.watchers {
		w.end(last, time.Now().Add(endGrace))
	}
}

// present returns the watchers, in no order; without any, the goroutine that asks is over.
func (h *hub) present() []*watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 {
		h.running = false
		return nil
	}
	return slices.Collect(maps.Keys(h.watchers))
}

// run is the goroutine: from the first watcher's coming to the last one's going.
func (h *hub) run() {
	defer func() {
		if cause := recover(); cause != nil {
			stack := debug.Stack()
			h.api.panics.Do(func() { h.api.log.Error("panic in the watchers' feed", "panic", cause, "stack", string(stack)) })
			h.mu.Lock()
			defer h.mu.Unlock()
			h.endAll(endFailed)
			h.running = false // the next one to join starts another
		}
	}()
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	f := &feed{hub: h, follow: h.api.table.Follow()}
	for {
		watchers := h.present()
		if watchers == nil {
			return
		}
		f.tick(watchers)
		<-ticker.C
	}
}

// feed is what one such goroutine knows.
type feed struct {
	*hub
	follow     func(changed func(*state.Held), removed func(engineID string))
	ticks      uint64
	bookmarked time.Time
	snapshots  [variants]snapshots

	// Of the tick at hand.
	now     state.Instant
	clock   time.Time
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
		removed = f.encodeRemoved(f.removed)
	}
	if f.clock.Sub(f.bookmarked) >= bookmarkInterval {
		f.bookmarked = f.clock
		bookmark = f.encodeBookmark(f.now)
	}

	update, snapshot := f.once(f.encodeUpdate), f.once(f.encodeSnapshot)
	for _, w := range watchers {
		if w.wantsSnapshot() {
			w.start(snapshot(w.variant))
			continue
		}
		for _, e := range [...]*event{update(w.variant), removed, bookmark} {
			w.put(e, f.snapshots[w.variant.index()].bytes)
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
	return f.encodeStates(eventUpdate, v, f.changed, f.now)
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
	e := f.encodeStates(eventSnapshot, v, f.all, f.now)
	s.bytes, s.next = len(e.frame), f.clock.Add(snapshotShare*time.Since(begun))
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
	if kept > maxHeld {
		limit = patience
	}
	for _, w := range watchers {
		if w.overdue(f.clock, limit) {
			w.end(encodeEnd(endSlow), f.clock.Add(endGrace))
			f.api.metrics.evicted.Inc()
		}
	}
}
