package api

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
)

// defaultHistory is how many states of an engine are shown when nobody says how many.
const defaultHistory = 100

// renderHistory appends the newest states of one engine as they were sent, newest last.
func (a *api) renderHistory(dst []byte, query url.Values) ([]byte, *problem) {
	engineID := query.Get("engine_id")
	if engineID == "" {
		return nil, problemf(http.StatusBadRequest, "engine_id is missing: the history is that of one engine")
	}
	limit := defaultHistory
	if query.Has("limit") {
		var ok bool
		if limit, ok = parseLimit(query.Get("limit")); !ok {
			return nil, problemf(http.StatusBadRequest, "limit is %q; allowed are whole numbers from 1", query.Get("limit"))
		}
	}
	records, ok := a.table.History(engineID, limit)
	if !ok {
		return nil, problemf(http.StatusNotFound, "no engine %q is held", engineID)
	}

	o := object{dst}
	o.open()
	o.text("engine_id", engineID)
	o.name("states")
	o.dst = append(o.dst, '[')
	for i := range records {
		if i > 0 {
			o.dst = append(o.dst, ", "...)
		}
		o.open()
		o.dst = records[i].AppendFields(o.dst)
		o.integer("received_at_ms", unixMs(records[i].ReceivedWall))
		o.close()
	}
	o.dst = append(o.dst, ']')
	o.close()
	return o.dst, nil
}

// parseLimit reads a whole number from 1. One too large for the type is more than there are, and fine.
func parseLimit(text string) (limit int, ok bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n == 0 {
		return 0, false
	}
	return int(min(n, math.MaxInt32)), true
}
