package api

import (
	"net/http"
	"net/url"
	"time"
)

// watchType is the format of server-sent events.
const watchType = "text/event-stream"

// watch answers GET /v1/watch: a stream of events that ends when the client goes, is too slow, or the gateway stops.
func (a *api) watch(w http.ResponseWriter, r *http.Request, query url.Values) {
	v, p := parseVariant(query)
	if p != nil {
		p.write(w)
		return
	}
	control := http.NewResponseController(w)
	watcher := newWatcher(v, control.SetWriteDeadline)
	if r.Method != http.MethodHead {
		if p := a.hub.join(watcher); p != nil {
			w.Header().Set("Retry-After", "1")
			p.write(w)
			return
		}
		defer a.hub.leave(watcher)
	}

	header := w.Header()
	header.Set("Content-Type", watchType)
	header.Set("X-Accel-Buffering", "no") // to nginx: pass every event on at once
	// No chunks: an event is one write, and the stream's end the connection's.
	header.Set("Transfer-Encoding", "identity")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	_ = control.SetReadDeadline(time.Time{}) // the server's limit is for requests; its end would look like the client's
	_ = control.Flush()
	for {
		e := watcher.take(r.Context())
		if e == nil {
			return
		}
		if _, err := w.Write(e.frame); err != nil || control.Flush() != nil {
			return // gone, or cut off
		}
		a.metrics.watchEvents[e.kind].Inc()
		if e.kind == eventEnd {
			return
		}
		a.metrics.watchAges.merge(&e.ages)
	}
}

func parseVariant(query url.Values) (v variant, p *problem) {
	if v.stale, p = parseStale(query, false); p != nil {
		return v, p
	}
	if !query.Has("fields") {
		return v, nil
	}
	switch value := query.Get("fields"); value {
	case "states":
	case "engines":
		v.engines = true
	default:
		p = problemf(http.StatusBadRequest, "fields is %q; allowed are states and engines", value)
	}
	return v, p
}
