package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Option changes how Watch works. A nil one changes nothing.
type Option func(*Watcher)

// IncludeStale shows engines although they are stale, until their gateway removes them. One that a restarted gateway does not
// know goes when it is stale; one that only lost gateways told of, when it has been stale for 5 minutes.
func IncludeStale() Option { return func(w *Watcher) { w.includeStale = true } }

// Logger receives a line when a gateway fails, when it fails in another way, and when it is followed again. Without it, or
// with nil, nothing is logged.
func Logger(log *slog.Logger) Option { return func(w *Watcher) { w.log = log } }

// Transport makes the connections, for TLS settings of a site's own. The default, which is nil's as well, uses no proxy and
// waits a second for a connection.
func Transport(t http.RoundTripper) Option { return func(w *Watcher) { w.transport = t } }

// Watcher keeps what one gateway or several tell of the engines. Its methods are safe for all goroutines, only look at
// memory, and return copies that are the caller's own. The zero Watcher follows nothing: it has no engines, and no gateways.
type Watcher struct {
	includeStale bool
	log          *slog.Logger
	transport    http.RoundTripper

	table     table
	followers []*follower
	running   sync.WaitGroup
}

// Watch follows the gateway at a URL such as http://127.0.0.1:8080, until ctx is done: in the background, from the first
// moment, and whatever becomes of the gateway. Several URLs, with commas between, are several gateways that hear the same
// engines; the newest state of each engine wins. The error says that a URL is none, or that ctx is nil.
func Watch(ctx context.Context, urls string, options ...Option) (*Watcher, error) {
	if ctx == nil {
		return nil, errors.New("the context is nil")
	}
	bases, err := ParseURLs(urls)
	if err != nil {
		return nil, err
	}
	w := &Watcher{}
	for _, option := range options {
		if option != nil {
			option(w)
		}
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.transport == nil {
		w.transport = defaultTransport()
	}
	client := &http.Client{Transport: w.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.table.divide(len(bases))
	for part, base := range bases {
		f := &follower{
			// All engines, since one turns stale here by itself, and as engine objects, which have the ages.
			stream: base.JoinPath("/v1/watch").String() + "?fields=engines&stale=include",
			client: client,
			log:    w.log.With("gateway", base.String()),
			table:  &w.table,
			part:   part,
			status: GatewayStatus{URL: base.String()},
		}
		w.followers = append(w.followers, f)
		w.running.Go(func() { f.run(ctx) })
	}
	w.running.Go(func() { w.watchAges(ctx) })
	return w, nil
}

// States returns the states of the engines that are not stale, by engine_id.
func (w *Watcher) States() map[string]State {
	now := time.Now()
	w.table.mu.RLock()
	defer w.table.mu.RUnlock()
	states := make(map[string]State, len(w.table.view))
	for id, e := range w.table.view {
		if w.shows(e, now) {
			states[id] = e.State
		}
	}
	return states
}

// State returns one engine's state; ok is false if it is not known or stale.
func (w *Watcher) State(engineID string) (s State, ok bool) {
	now := time.Now()
	w.table.mu.RLock()
	defer w.table.mu.RUnlock()
	if e := w.table.view[engineID]; e != nil && w.shows(e, now) {
		return e.State, true
	}
	return s, false
}

// Engines returns all that is known of the engines that States shows, in no particular order.
func (w *Watcher) Engines() []Engine {
	now := time.Now()
	w.table.mu.RLock()
	defer w.table.mu.RUnlock()
	engines := make([]Engine, 0, len(w.table.view))
	for _, e := range w.table.view {
		if !w.shows(e, now) {
			continue
		}
		shown := e.clone()
		if e.stale(now) {
			shown.Status = Stale
		}
		engines = append(engines, shown)
	}
	return engines
}

func (w *Watcher) shows(e *Engine, now time.Time) bool { return w.includeStale || !e.stale(now) }

// Changed returns a channel that is closed when something changes after the call: a state, an engine that comes, goes or
// has turned stale, a gateway lost or found. Ask for it before reading, so that no change is missed:
//
//	for {
//		changed := w.Changed()
//		… w.States() …
//		<-changed
//	}
//
// Changes come at most every 50 ms from each gateway, however many engines there are.
func (w *Watcher) Changed() <-chan struct{} {
	return w.table.next()
}

// agesInterval is how soon it is told that an engine has turned stale here, or is forgotten.
const agesInterval = 100 * time.Millisecond

// watchAges tells of what time alone does: nothing arrives then that would.
func (w *Watcher) watchAges(ctx context.Context) {
	tick := time.NewTicker(agesInterval)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			w.table.age(last, now)
			last = now
		}
	}
}

// GatewayStatus is how it stands with one gateway.
type GatewayStatus struct {
	URL       string
	Connected bool      // its stream stands
	Streams   int       // that have begun; each after the first is a reconnection
	LastEvent time.Time // zero before the first
	Problem   error     // why it is not connected; nil when it is, and before the first attempt has ended

	began time.Time // of the stream
}

// Gateways returns how it stands with each gateway, in the order of their URLs.
func (w *Watcher) Gateways() []GatewayStatus {
	var all []GatewayStatus
	for _, f := range w.followers {
		all = append(all, f.now())
	}
	return all
}

// Wait returns when ctx is done and the connections are closed.
func (w *Watcher) Wait() { w.running.Wait() }
