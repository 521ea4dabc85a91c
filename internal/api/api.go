package api

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/elrar/state-gateway/state"
)

// panicLogInterval is the shortest time between two messages about panics: one stack a second is enough to repair by
// and too little to fill a disk with.
const panicLogInterval = time.Second

// api answers requests. Its fields are set by New and not changed afterwards; those that change guard themselves.
type api struct {
	table   Table
	gateway Gateway
	info    Info
	log     *slog.Logger
	panics  rate.Sometimes
	lists   sync.Pool // of *[]state.Held
	held    int64     // bytes that each load, and the watchers' events, may have
	states  *load     // readers of the engines' states
	scrapes *load     // readers of the counters: however many of the others stall, these are not refused
	probes  *load     // the same at the health address: however many of those stall, these are not refused
	metrics *metrics
	hub     *hub
	routes  map[string]http.Handler // by path, matched exactly
	unknown http.Handler            // for every other path
}

// endpoint is one path that is answered.
type endpoint struct {
	path   string
	name   string   // the handler label of the metrics: never anything that a client sent
	params []string // the query parameters it knows, each at most once in a request; any other is an error
	probed bool     // for probes and scrapers, some of which add parameters of their own: the query is not looked at
	load   *load    // not nil: the work grows with the number of engines; it takes turns, and the answer counts here
	kind   string   // the answer's Content-Type if it is not JSON
	render func(dst []byte, query url.Values) ([]byte, *problem)
	stream func(w http.ResponseWriter, r *http.Request, query url.Values) // instead of render, for an answer without end
	asset  *asset                                                         // instead of render, for a file of the page
}

func (a *api) endpoints() []endpoint {
	return []endpoint{
		{path: "/", name: "page", asset: pageFile("index.html")},
		{path: "/v1/engine-states", name: "engine_states", params: []string{"stale"}, load: a.states, render: a.renderEngineStates},
		{path: "/v1/engines", name: "engines", params: []string{"engine_id", "status"}, load: a.states, render: a.renderEngines},
		{path: "/v1/history", name: "history", params: []string{"engine_id", "limit"}, load: a.states, render: a.renderHistory},
		{path: "/v1/watch", name: "watch", params: []string{"stale", "fields", "max_event_bytes"}, kind: watchType, stream: a.watch},
		{path: "/v1/stats", name: "stats", load: a.scrapes, render: a.renderStats},
		{path: "/stats", name: "stats", load: a.scrapes, render: a.renderStats},
		{path: "/metrics", name: "metrics", probed: true, load: a.scrapes, kind: metricsType, render: a.renderMetrics},
		{path: "/livez", name: "livez", probed: true, render: a.renderLive},
		{path: "/readyz", name: "readyz", probed: true, render: a.renderReady},
		{path: "/openapi.json", name: "openapi", render: a.renderOpenAPI},
		{path: "/version", name: "version", render: a.renderVersion},
	}
}

// New returns the handler of every path. The log gets nothing but panics, at most one a second.
func New(table Table, gw Gateway, info Info, log *slog.Logger) http.Handler {
	turns, held := newTurns(), heldBytes(info.Memory)
	a := &api{
		table:   table,
		gateway: gw,
		info:    info,
		log:     log,
		panics:  rate.Sometimes{Interval: panicLogInterval},
		lists:   sync.Pool{New: func() any { return new([]state.Held) }},
		held:    held,
		states:  newLoad(turns, held),
		scrapes: newLoad(turns, held),
		probes:  newLoad(turns, held),
		metrics: newMetrics(gw, info),
		routes:  map[string]http.Handler{},
	}
	a.hub = newHub(a)
	for _, e := range slices.Concat(a.endpoints(), pageEndpoints()) {
		a.routes[e.path] = a.route(e)
	}
	a.unknown = a.metrics.instrument("unknown", http.HandlerFunc(answerUnknown))
	return a
}

// route returns the handler of an endpoint, which counts and times what it answers.
func (a *api) route(e endpoint) http.Handler {
	if e.stream != nil { // how long a client watches is its own affair
		return a.metrics.count(e.name, a.answer(e))
	}
	return a.metrics.instrument(e.name, a.answer(e))
}

// ServeHTTP implements http.Handler. Paths are matched exactly: nothing is cleaned and nobody is redirected.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.serve(a.routes, w, r) }

func (a *api) serve(routes map[string]http.Handler, w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	route, ok := routes[r.URL.Path]
	if !ok {
		route = a.unknown
	}
	route.ServeHTTP(w, r)
}

func answerUnknown(w http.ResponseWriter, r *http.Request) {
	problemf(http.StatusNotFound, "nothing is at %q; /openapi.json describes what there is", r.URL.Path).write(w)
}
