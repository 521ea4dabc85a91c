package api

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/elrar/state-gateway/state"
)

// renderEngines appends all that is held of each engine, sorted by engine_id, so that two answers can be compared.
func (a *api) renderEngines(dst []byte, query url.Values) ([]byte, *problem) {
	now := a.gateway.Now()
	selected := allEngines
	if query.Has("status") {
		want, ok := parseStatus(query.Get("status"))
		if !ok {
			return nil, problemf(http.StatusBadRequest, "status is %q; allowed are %s", query.Get("status"), statusList())
		}
		selected = func(h *state.Held) bool { return h.Status(now, &a.info.Rules) == want }
	}

	list := a.lists.Get().(*[]state.Held)
	defer a.lists.Put(list)
	engines := (*list)[:0]
	if query.Has("engine_id") {
		if h, ok := a.table.Get(query.Get("engine_id")); ok && selected(&h) {
			engines = append(engines, h)
		}
	} else {
		engines = a.appendEngines(engines, selected)
	}
	*list = engines

	o := object{dst}
	o.open()
	o.integer("server_time_ms", unixMs(now.Wall))
	o.integer("stale_threshold_ms", a.info.Rules.StaleThreshold.Milliseconds())
	o.name("engines")
	o.dst = append(o.dst, '[')
	var ages ages
	for i := range engines {
		if i > 0 {
			o.dst = append(o.dst, ", "...)
		}
		a.appendEngine(&o, &engines[i], now)
		ages.add(engines[i].Silence(now))
	}
	a.metrics.enginesAges.merge(&ages)
	o.dst = append(o.dst, ']')
	o.close()
	return o.dst, nil
}

// appendEngines appends copies of what is held of the selected engines, sorted by engine_id, to an empty list.
func (a *api) appendEngines(engines []state.Held, selected func(*state.Held) bool) []state.Held {
	a.table.Range(func(h *state.Held) bool {
		if selected(h) {
			engines = append(engines, *h)
		}
		return true
	})
	slices.SortFunc(engines, func(x, y state.Held) int { return cmp.Compare(x.EngineID, y.EngineID) })
	return engines
}

func allEngines(*state.Held) bool { return true }

// appendEngine appends one engine as it is at the moment now. What is not known is null.
func (a *api) appendEngine(o *object, h *state.Held, now state.Instant) {
	rules := &a.info.Rules
	status := h.Status(now, rules)
	o.open()
	o.dst = h.AppendFields(o.dst)
	o.text("status", status.String())
	o.truth("fresh", status != state.Stale)
	o.decimal("age_ms", float64(h.Age(now, rules))/float64(time.Millisecond))
	o.integer("received_at_ms", unixMs(h.Received.Wall))
	if h.LoadTimestampMs != state.NoLoad {
		o.integer("load_timestamp_ms", h.LoadTimestampMs)
	} else {
		o.null("load_timestamp_ms")
	}
	if h.HeartbeatWall != 0 {
		o.integer("last_heartbeat_ms", unixMs(h.HeartbeatWall))
	} else {
		o.null("last_heartbeat_ms")
	}
	o.integer("stale_after_ms", h.StaleAfter(rules).Milliseconds())
	o.integer("clock_skew_ms", h.ClockSkewMs)
	if interval, ok := a.table.PushInterval(h.EngineID); ok {
		o.decimal("push_interval_ms", float64(interval)/float64(time.Millisecond))
	} else {
		o.null("push_interval_ms")
	}
	if h.Source.IsValid() {
		o.name("source_addr")
		o.dst = append(h.Source.AppendTo(append(o.dst, '"')), '"')
	} else {
		o.null("source_addr")
	}
	o.truth("conflict", h.Conflict(now))
	o.close()
}

// unixMs returns Unix ns as Unix ms.
func unixMs(ns int64) int64 { return ns / int64(time.Millisecond) }

func parseStatus(name string) (s state.Status, ok bool) {
	for s := range state.Status(state.Statuses) {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

func statusList() string {
	var names []string
	for s := range state.Status(state.Statuses) {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}
