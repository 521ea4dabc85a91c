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

// send renders an answer into a pooled buffer and writes it. The buffer goes back when the reader has taken the answer
// or has been cut off by the server's write timeout.
func (a *api) send(w http.ResponseWriter, r *http.Request, e *endpoint, query url.Values) {
	buffer := a.buffers.Get().(*[]byte)
	defer a.buffers.Put(buffer)

	if e.load != nil && !e.load.begin(r.Context()) {
		return // the client has gone
	}
	body, p := a.render((*buffer)[:0], e, query)
	if e.load != nil {
		e.load.end()
	}
	if p != nil {
		p.write(w)
		return
	}
	body = append(body, '\n')
	*buffer = body

	if e.load != nil {
		h := e.load.hold(len(body), func() {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now()) // the write fails, and the server hangs up
		})
		if h == nil {
			w.Header().Set("Retry-After", "1")
			problemf(http.StatusServiceUnavailable, "too many answers wait for slow readers").write(w)
			return
		}
		defer e.load.release(h)
	}
	writeBody(w, cmp.Or(e.kind, "application/json"), http.StatusOK, body)
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
