package doctor

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// mostNamed is how many engines or addresses a finding names.
const mostNamed = 5

// skewLimitMs is the clock skew from which it is worth a note: the gateway itself warns from there on.
const skewLimitMs = 1000

func (f *findings) engines(all []Engine) {
	if len(all) == 0 {
		f.add(Note, "engines", "", "none is held")
		return
	}
	byStatus := map[string][]Engine{}
	var skewed, conflicts []string
	sources := map[string]int{}
	for _, e := range all {
		byStatus[e.Status] = append(byStatus[e.Status], e)
		if math.Abs(float64(e.ClockSkewMs)) > skewLimitMs {
			skewed = append(skewed, fmt.Sprintf("%s by %s", e.EngineID, seconds(float64(e.ClockSkewMs)/1000)))
		}
		if e.Conflict {
			conflicts = append(conflicts, e.EngineID)
		}
		if source, err := netip.ParseAddrPort(e.SourceAddr); err == nil {
			sources[source.Addr().String()]++
		}
	}
	f.statuses(all, byStatus)
	if len(sources) > 0 {
		f.add(OK, "engines", "", "they send from %s", list(counted(sources), mostNamed))
	}
	if conflicts != nil {
		f.add(Problem, "engines", "give each engine an engine_id of its own", "two senders use one engine_id by turns: %s", list(conflicts, mostNamed))
	}
	if skewed != nil {
		f.add(Note, "engines", "set the clocks by NTP; with VLLM_STATE_GATEWAY_CLOCK=receiver no state is stale or fresh for it",
			"these engines' clocks are behind this one (negative: ahead): %s", list(skewed, mostNamed))
	}
}

func (f *findings) statuses(all []Engine, byStatus map[string][]Engine) {
	var counts []string
	for _, status := range []string{"fresh", "idle", "initializing", "stale"} {
		if n := len(byStatus[status]); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, status))
		}
	}
	what := fmt.Sprintf("%s: %s", plural(len(all), "engine"), list(counts, len(counts)))
	stale := byStatus["stale"]
	slices.SortFunc(stale, func(a, b Engine) int { return cmp.Compare(b.AgeMs, a.AgeMs) })
	var silent []string
	for _, e := range stale {
		silent = append(silent, fmt.Sprintf("%s for %s", e.EngineID, seconds(e.AgeMs/1000)))
	}
	switch {
	case len(stale) == len(all):
		f.add(Problem, "engines", "the trouble is between all of them and the gateway: the network, or their hosts", "%s; silent: %s", what, list(silent, mostNamed))
	case len(stale) > 0:
		f.add(Note, "engines", "look at these engines' hosts", "%s; silent: %s", what, list(silent, mostNamed))
	default:
		f.add(OK, "engines", "", "%s", what)
	}
}

// counted writes the addresses with their engines, those with most first.
func counted(sources map[string]int) (all []string) {
	type source struct {
		address string
		engines int
	}
	var sorted []source
	for address, n := range sources {
		sorted = append(sorted, source{address, n})
	}
	slices.SortFunc(sorted, func(a, b source) int {
		return cmp.Or(cmp.Compare(b.engines, a.engines), cmp.Compare(a.address, b.address))
	})
	for _, s := range sorted {
		all = append(all, fmt.Sprintf("%s (%d)", s.address, s.engines))
	}
	return all
}
