package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// parseQuery returns the parameters of a raw query. Each must be known and be there once at most: a misspelt
// parameter that is silently ignored gives an answer to another question.
func parseQuery(raw string, known []string) (url.Values, *problem) {
	if raw == "" {
		return nil, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the query cannot be read: %q", err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, problemf(http.StatusBadRequest, "unknown parameter %q: this endpoint has none", name)
		case !slices.Contains(known, name):
			return nil, problemf(http.StatusBadRequest, "unknown parameter %q: this endpoint knows %s", name, strings.Join(known, ", "))
		case len(query[name]) > 1:
			return nil, problemf(http.StatusBadRequest, "%s is given %d times; once is allowed", name, len(query[name]))
		}
	}
	return query, nil
}
