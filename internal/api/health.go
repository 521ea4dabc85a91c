package api

import (
	"net/http"
	"net/url"
	"runtime"
)

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
