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
	include, p := parseStale(query, true)
	if p != nil {
		return nil, p
	}
	now := a.gateway.Now()
	var ages ages
	dst = AppendEngineStates(dst, func(yield func(*state.Held) bool) {
		a.table.Range(func(h *state.Held) bool {
			if !include && h.Status(now, &a.info.Rules) == state.Stale {
				return true
			}
			ages.add(h.Silence(now))
			return yield(h)
		})
	})
	a.metrics.engineStatesAges.merge(&ages)
	return dst, nil
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

// parseStale reads whether stale engines are wanted; usual is what goes without saying.
func parseStale(query url.Values, usual bool) (include bool, p *problem) {
	if !query.Has("stale") {
		return usual, nil
	}
	switch value := query.Get("stale"); value {
	case "include":
		return true, nil
	case "exclude":
		return false, nil
	default:
		return false, problemf(http.StatusBadRequest, "stale is %q; allowed are include and exclude", value)
	}
}
