package api

import (
	"net/http"
	"net/url"

	"github.com/elrar/state-gateway/state"
)

// renderEngineStates appends the map engine_id → the eight fields: what a router asks for before it picks an engine,
// and so the hot answer of this package.
func (a *api) renderEngineStates(dst []byte, query url.Values) ([]byte, *problem) {
	include := true
	if query.Has("stale") {
		switch query.Get("stale") {
		case "include":
		case "exclude":
			include = false
		default:
			return nil, problemf(http.StatusBadRequest, "stale is %q; allowed are include and exclude", query.Get("stale"))
		}
	}
	now := a.gateway.Now()
	empty := len(dst) + 1
	dst = append(dst, '{')
	a.table.Range(func(h *state.Held) bool {
		if !include && h.Status(now, &a.info.Rules) == state.Stale {
			return true
		}
		if len(dst) > empty {
			dst = append(dst, ", "...)
		}
		dst = state.AppendString(dst, h.EngineID)
		dst = append(dst, ": "...)
		dst = h.AppendJSON(dst)
		return true
	})
	return append(dst, '}'), nil
}
