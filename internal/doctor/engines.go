package doctor

import (
	"cmp"
	"fmt"
	"maps"
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
	sources := map[string]source{}
	for _, e := range all {
		byStatus[e.Status] = append(byStatus[e.Status], e)
		if math.Abs(float64(e.ClockSkewMs)) > skewLimitMs {
			skewed = append(skewed, fmt.Sprintf("%s by %s", e.EngineID, seconds(float64(e.ClockSkewMs)/1000)))
		}
		if e.Conflict {
			conflicts = append(conflicts, e.EngineID)
		}
		if from, err := netip.ParseAddrPort(e.SourceAddr); err == nil {
			address := from.Addr().String()
			sources[address] = sources[address].with(e)
		}
	}
	f.statuses(all, byStatus)
	if len(sources) > 0 {
		f.add(OK, "engines", "", "they send from %s", list(counted(sources), mostNamed))
	}
	if conflicts != nil {
		f.add(Problem, "engines", "give each engine an engine_id of its own", "several senders use one engine_id: %s", list(conflicts, mostNamed))
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

// source is what sends from one address.
type source struct {
	engines int
	rate    float64 // real states a second, of the engines that are not stale
}

func (s source) with(e Engine) source {
	s.engines++
	if e.PushIntervalMs > 0 && e.Status != "stale" {
		s.rate += 1000 / e.PushIntervalMs
	}
	return s
}

// counted writes the addresses with what sends from them, those with most engines first.
func counted(sources map[string]source) (all []string) {
	addresses := slices.SortedFunc(maps.Keys(sources), func(a, b string) int {
		return cmp.Or(cmp.Compare(sources[b].engines, sources[a].engines), cmp.Compare(a, b))
	})
	for _, a := range addresses {
		all = append(all, fmt.Sprintf("%s (%s, %.0f states/s)", a, plural(sources[a].engines, "engine"), sources[a].rate))
	}
	return all
}
