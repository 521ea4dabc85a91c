package api

import (
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const (
	// tickInterval is how often the watchers get what has changed: a quarter of the usual push interval, so that it adds
	// little to a state's age, and an engine's states are still sent one by one.
	tickInterval = 50 * time.Millisecond

	// maxWatchers leaves half of the server's connections to those who poll, scrape and probe.
	maxWatchers = 512

	// watchersShare is how many of them one address may have: others can still watch.
	watchersShare = maxWatchers - maxWatchers/8
)

// hub feeds all watchers. While there are any, one goroutine looks every tick for what has changed, encodes it once for
// each variant that is watched, and puts it in each watcher's queue. Without watchers there is no goroutine and no work.
// The encoding takes no turn (see load): it is one goroutine's, and a late bookmark is an alarm.
type hub struct {
	api   *api
	epoch int64 // Unix ms of the gateway's start: what tells the ids of two processes apart

	mu       sync.Mutex
	watchers map[*watcher]netip.Prefix // by whom they count as; see addressOf
	from     map[netip.Prefix]int
	running  bool
	stopped  bool

	revision uint64 // of the table: counts the ticks that found a change; the goroutine's
}

func newHub(a *api) *hub {
	return &hub{api: a, epoch: unixMs(a.info.Started.Wall), watchers: map[*watcher]netip.Prefix{}, from: map[netip.Prefix]int{}}
}

// join adds a watcher, unless there are too many, or too many of its address, or the gateway is stopping.
func (h *hub) join(w *watcher, from netip.Prefix) *problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return laterf(http.StatusServiceUnavailable, "the gateway is stopping")
	case len(h.watchers) >= maxWatchers:
		return laterf(http.StatusServiceUnavailable, "%d clients watch; that is all that may", len(h.watchers))
	case h.from[from] >= watchersShare:
		return laterf(http.StatusServiceUnavailable, "%d clients of your address watch; that is all that may, for others to find room", h.from[from])
	}
	h.watchers[w] = from
	h.from[from]++
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
	from := h.watchers[w]
	if h.from[from]--; h.from[from] == 0 {
		delete(h.from, from)
	}
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
