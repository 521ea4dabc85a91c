package api

import (
	"net/http"
	"net/url"
	"runtime"
)

// health is what is answered at the health address.
type health struct {
	api    *api
	routes map[string]http.Handler
}

// Health returns the handler of the health address, of which strangers know nothing: the probes, the metrics and the
// version of a handler that New returned. Nothing that others ask that one for keeps these waiting.
func Health(handler http.Handler) http.Handler {
	h := &health{api: handler.(*api), routes: map[string]http.Handler{}}
	for _, e := range h.api.endpoints() {
		switch e.path {
		case "/metrics":
			e.load = h.api.probes
			fallthrough
		case "/livez", "/readyz", "/version":
			h.routes[e.path] = h.api.route(e)
		}
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.api.serve(h.routes, w, r) }

func (a *api) renderLive(dst []byte, _ url.Values) ([]byte, *problem) {
	return renderHealth(dst, "live", "", a.gateway.Live())
}

func (a *api) renderReady(dst []byte, _ url.Values) ([]byte, *problem) {
	return renderHealth(dst, "ready", a.gateway.Degraded(), a.gateway.Ready())
}

// renderHealth appends the status, unless err says that it does not hold. With degraded, which says what does not work,
// it holds all the same: routers get what they came for.
func renderHealth(dst []byte, status, degraded string, err error) ([]byte, *problem) {
	if err != nil {
		return nil, problemf(http.StatusServiceUnavailable, "not %s: %s", status, err)
	}
	o := object{dst}
	o.open()
	if degraded != "" {
		o.text("status", "degraded")
		o.text("detail", "states are missing from the state log: "+degraded)
	} else {
		o.text("status", status)
	}
	o.close()
	return o.dst, nil
}

func (a *api) renderVersion(dst []byte, _ url.Values) ([]byte, *problem) {
	o := object{dst}
	o.open()
	o.text("version", a.info.Version)
	o.text("revision", a.info.Revision)
	o.text("go", runtime.Version())
	o.close()
	return o.dst, nil
}
