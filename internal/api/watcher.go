package api

import (
	"context"
	"slices"
	"sync"
	"time"
)

// watcher is one client's stream: the events that wait for it. The hub puts them in, the request's goroutine takes and
// writes them; neither waits for the other.
//
// What waits is bounded: when several events are larger together than a snapshot, they are dropped, and the watcher is
// behind. It gets a snapshot of the moment when it is able to take one.
type watcher struct {
	variant  variant
	limit    int                   // bytes of an event from which it is split; 0 = none
	deadline func(time.Time) error // sets when a write fails; called from any goroutine
	ready    chan struct{}         // one place: something was put in

	mu     sync.Mutex
	behind bool // nothing is put in before a snapshot
	ended  bool // nothing is put in any more
	queue  []*event
	bytes  int       // of the queue
	taken  *event    // being written
	since  time.Time // when it was taken
}

const (
	// takeLimit is how long a client may take to take one event. It is more than it takes a state to get stale: whoever
	// is slower gets nothing that is worth having.
	takeLimit = 5 * time.Second

	// endGrace is how long the last event may take.
	endGrace = 500 * time.Millisecond

	// leastBacklog is how many bytes may wait for a client in any case: the events of a tick come at once.
	leastBacklog = 64 << 10
)

func newWatcher(v variant, limit int, deadline func(time.Time) error) *watcher {
	return &watcher{variant: v, limit: limit, deadline: deadline, ready: make(chan struct{}, 1), behind: true}
}

// wants reports what is of use to the watcher now: a snapshot, if it has no basis for updates and could take one; else what
// is new, if it has one.
func (w *watcher) wants() (snapshot, news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.behind && !w.ended && w.taken == nil, !w.behind && !w.ended
}

// start puts a snapshot in; nil is none yet.
func (w *watcher) start(snapshot *event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if snapshot == nil || w.ended {
		return
	}
	w.behind = false
	w.append(snapshot)
}

// put puts the next event in; nil is none. When several events would wait that are larger than a snapshot, and not by a
// little, the watcher falls behind instead.
func (w *watcher) put(e *event, snapshot int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case e == nil || w.behind || w.ended:
	case w.bytes > 0 && w.bytes+len(e.frame) > snapshot+leastBacklog:
		w.drop()
		w.behind = true
	default:
		w.append(e)
	}
}

// end makes e the last event. What waits is dropped; a write that is under way may still take until then.
func (w *watcher) end(e *event, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.ended = true
	w.drop()
	w.append(e)
	_ = w.deadline(until)
}

// overdue reports whether the event that is being written was taken longer than limit ago.
func (w *watcher) overdue(now time.Time, limit time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.ended && w.taken != nil && now.Sub(w.since) > limit
}

// weigh returns the bytes of the watcher's events that no other watcher had at the same tick.
func (w *watcher) weigh(tick uint64) (bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := func(e *event) {
		if e != nil && e.weighed != tick {
			e.weighed = tick
			bytes += len(e.frame)
		}
	}
	count(w.taken)
	for _, e := range w.queue {
		count(e)
	}
	return bytes
}

// take waits for the next event and takes it; nil means that ctx has ended. The one before it counts as written.
func (w *watcher) take(ctx context.Context) *event {
	for {
		if e := w.next(); e != nil {
			return e
		}
		select {
		case <-w.ready:
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *watcher) next() *event {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = nil
	if len(w.queue) == 0 {
		return nil
	}
	e := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	w.bytes -= len(e.frame)
	w.taken, w.since = e, time.Now()
	if e.kind == eventEnd {
		_ = w.deadline(w.since.Add(endGrace))
	} else {
		_ = w.deadline(w.since.Add(takeLimit + endGrace)) // the feed ends it earlier
	}
	return e
}

// append and drop: the caller has the lock.
func (w *watcher) append(e *event) {
	w.queue = append(w.queue, e)
	w.bytes += len(e.frame)
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *watcher) drop() {
	clear(w.queue)
	w.queue, w.bytes = w.queue[:0], 0
}
