package api

import (
	"iter"
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
	if include {
		return AppendEngineStates(dst, a.table.Range), nil
	}
	now := a.gateway.Now()
	return AppendEngineStates(dst, func(yield func(*state.Held) bool) {
		a.table.Range(func(h *state.Held) bool { return h.Status(now, &a.info.Rules) == state.Stale || yield(h) })
	}), nil
}

// AppendEngineStates appends the map engine_id → the eight fields of some engines, in their order.
func AppendEngineStates(dst []byte, engines iter.Seq[*state.Held]) []byte {
	empty := len(dst) + 1
	dst = append(dst, '{')
	for h := range engines {
		if len(dst) > empty {
			dst = append(dst, ", "...)
		}
		dst = state.AppendString(dst, h.EngineID)
		dst = append(dst, ": "...)
		dst = h.AppendJSON(dst)
	}
	return append(dst, '}')
}
