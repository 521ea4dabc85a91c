package api

import (
	"net/http"
	"net/url"
	"strconv"
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
	limit, p := parseEventLimit(query)
	if p != nil {
		p.write(w)
		return
	}
	control := http.NewResponseController(w)
	watcher := newWatcher(v, limit, control.SetWriteDeadline)
	if r.Method != http.MethodHead {
		if p := a.hub.join(watcher, addressOf(r.RemoteAddr)); p != nil {
			p.write(w)
			return
		}
		defer a.hub.leave(watcher)
	}

	header := w.Header()
	header.Set("Content-Type", watchType)
	header.Set("X-Accel-Buffering", "no") // to nginx: pass every event on at once
	// No chunks, which mean nothing here: the stream's end is the connection's.
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
		further, err := e.writeTo(w, limit)
		_ = control.Flush() // whose error gets lost on the way; but it ends the context
		if err != nil || r.Context().Err() != nil {
			return // gone, or cut off
		}
		a.metrics.watchEvents[e.kind].Inc()
		a.metrics.watchEvents[e.kind.rest()].Add(float64(further))
		if e.kind == eventEnd {
			return
		}
		a.metrics.watchAges.merge(&e.ages)
	}
}

// What max_event_bytes may be: room for any engine that is not made to be long, and a fleet of 10,000 in one event.
const (
	leastEventLimit = 1 << 10
	mostEventLimit  = 16 << 20
)

// parseEventLimit reads the size in bytes above which events are split; 0 is none.
func parseEventLimit(query url.Values) (limit int, p *problem) {
	if !query.Has("max_event_bytes") {
		return 0, nil
	}
	value := query.Get("max_event_bytes")
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < leastEventLimit || n > mostEventLimit {
		return 0, problemf(http.StatusBadRequest, "max_event_bytes is %q; allowed are %d to %d", value, leastEventLimit, mostEventLimit)
	}
	return int(n), nil
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
