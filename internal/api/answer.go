package api

import (
	"cmp"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"
)

// answer returns the handler of one endpoint: checks of method and query, then the endpoint's own answer.
func (a *api) answer(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problemf(http.StatusMethodNotAllowed, "%q is not a method of this endpoint; GET and HEAD are", r.Method).write(w)
			return
		}
		var query url.Values
		if !e.probed {
			var p *problem
			if query, p = parseQuery(r.URL.RawQuery, e.params); p != nil {
				p.write(w)
				return
			}
		}
		if e.stream != nil {
			e.stream(w, r, query)
			return
		}
		if e.asset != nil {
			e.asset.serve(w, r)
			return
		}
		a.send(w, r, &e, query)
	})
}

// send answers with what the endpoint renders. An answer that grows with the number of engines is made and held by its
// load, until the reader has taken it or has been cut off: by the server's write timeout, or earlier for others' sake.
func (a *api) send(w http.ResponseWriter, r *http.Request, e *endpoint, query url.Values) {
	kind := cmp.Or(e.kind, "application/json")
	if e.load == nil {
		body, p := a.render(nil, e, query)
		if p != nil {
			p.write(w)
			return
		}
		writeBody(w, kind, http.StatusOK, append(body, '\n'))
		return
	}
	render := func(dst []byte) ([]byte, *problem) { return a.render(dst, e, query) }
	reader := e.load.get(r.Context(), e.name, query.Encode(), render, func() {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now()) // the write fails, and the server hangs up
	})
	switch {
	case reader == nil: // the client has gone
	case reader.answer.problem != nil:
		reader.answer.problem.write(w)
	default:
		defer e.load.release(reader)
		writeBody(w, kind, http.StatusOK, reader.answer.body)
	}
}

// render calls the endpoint's render and makes a problem of a panic in it.
func (a *api) render(dst []byte, e *endpoint, query url.Values) (body []byte, p *problem) {
	defer func() {
		if cause := recover(); cause != nil {
			stack := debug.Stack()
			a.panics.Do(func() {
				a.log.Error("panic in an HTTP handler", "handler", e.name, "panic", cause, "stack", string(stack))
			})
			body, p = nil, problemf(http.StatusInternalServerError, "the gateway's log says more")
		}
	}()
	return e.render(dst, query)
}

// writeBody writes a whole answer. An error of the write means that the client has gone or was cut off: there is
// nobody left to tell.
func writeBody(w http.ResponseWriter, contentType string, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
