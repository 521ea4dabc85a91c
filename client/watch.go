package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Option changes how Watch works.
type Option func(*Watcher)

// IncludeStale shows engines although they are stale.
func IncludeStale() Option { return func(w *Watcher) { w.includeStale = true } }

// Logger receives a line when a gateway fails, when it fails in another way, and when it is followed again. Without it
// nothing is logged.
func Logger(log *slog.Logger) Option { return func(w *Watcher) { w.log = log } }

// Transport makes the connections, for TLS settings of a site's own. The default uses no proxy and waits a second for a
// connection.
func Transport(t http.RoundTripper) Option { return func(w *Watcher) { w.transport = t } }

// Watcher keeps what one gateway or several tell of the engines. Its methods are safe for all goroutines, only look at
// memory, and return copies that are the caller's own.
type Watcher struct {
	includeStale bool
	log          *slog.Logger
	transport    http.RoundTripper

	table     *table
	followers []*follower
	running   sync.WaitGroup
}

// Watch follows the gateway at a URL such as http://127.0.0.1:8080, until ctx is done: in the background, from the first
// moment, and whatever becomes of the gateway. Several URLs, with commas between, are several gateways that hear the same
// engines; the newest state of each engine wins. The error says that a URL is none.
func Watch(ctx context.Context, urls string, options ...Option) (*Watcher, error) {
	w := &Watcher{log: slog.New(slog.DiscardHandler), transport: defaultTransport()}
	for _, option := range options {
		option(w)
	}
	client := &http.Client{Transport: w.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, text := range strings.Split(urls, ",") {
		base, err := parseURL(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		w.followers = append(w.followers, &follower{
			// All engines, since one turns stale here by itself, and as engine objects, which have the ages.
			stream: base.JoinPath("/v1/watch").String() + "?fields=engines&stale=include",
			client: client,
			log:    w.log.With("gateway", base.String()),
			part:   len(w.followers),
			status: GatewayStatus{URL: base.String()},
		})
	}
	w.table = newTable(len(w.followers))
	for _, f := range w.followers {
		f.table = w.table
		w.running.Go(func() { f.run(ctx) })
	}
	w.running.Go(func() { w.watchAges(ctx) })
	return w, nil
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // without the text, which is in ours
		}
		return nil, fmt.Errorf("%q is no gateway's URL: %w", text, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no gateway's URL: it is one such as http://127.0.0.1:8080, without user, query and fragment", text)
	}
	return u, nil
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
		shown := *e
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
	w.table.mu.RLock()
	defer w.table.mu.RUnlock()
	return w.table.changed
}

// agesInterval is how soon it is told that an engine has turned stale here.
const agesInterval = 100 * time.Millisecond

// watchAges tells of engines that turn stale: nothing arrives then that would.
func (w *Watcher) watchAges(ctx context.Context) {
	tick := time.NewTicker(agesInterval)
	defer tick.Stop()
	active := 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if n := w.table.active(now); n != active {
				active = n
				w.table.signal()
			}
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
