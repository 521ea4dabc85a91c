package api

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// view is what a client of fields=engines makes of its events, by the rules of docs/routers.md.
type view map[string]viewed

type viewed struct {
	wireEngine
	since time.Time // when its age was age_ms
}

func (v view) take(t *testing.T, e sent) {
	switch e.name {
	case "snapshot", "update":
		var event wireEvent[wireEngine]
		strict(t, []byte(e.data), &event)
		for id, engine := range event.States {
			if engine.state(t).EngineID != id {
				t.Fatalf("%s is %+v", id, engine)
			}
			v[id] = viewed{engine, e.at}
		}
	case "removed":
		for _, id := range removedIDs(t, e) {
			delete(v, id)
		}
	}
}

func (v viewed) age(now time.Time) float64 {
	return *v.AgeMs + float64(now.Sub(v.since))/float64(time.Millisecond)
}

func (v viewed) stale(now time.Time) bool { return v.age(now) > float64(*v.StaleAfterMs) }

func removedIDs(t *testing.T, e sent) []string {
	var event wireRemoved
	strict(t, []byte(e.data), &event)
	return event.EngineIDs
}

// TestWatchOracle: under random traffic, with engines that fall silent, are removed and come back, what a client makes of
// each variant of the stream is what the table says, after every tick, and whenever it came.
func TestWatchOracle(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) { followTraffic(t, w, rand.New(rand.NewPCG(seed, 5))) })
		})
	}
}

func followTraffic(t *testing.T, w *world, random *rand.Rand) {
	const engines, removeAfter = 40, 6 * time.Second
	awake := map[string]int{} // ticks for which an engine sends on
	n := int64(0)
	traffic := func() {
		for i := range engines {
			id := engineID(i)
			if awake[id] == 0 {
				if random.IntN(80) == 0 {
					awake[id] = 1 + random.IntN(60)
				}
				continue
			}
			awake[id]--
			for range random.IntN(3) {
				n++
				s := engineState(id, n)
				switch random.IntN(5) {
				case 0:
					s = state.State{EngineID: id, TimestampMs: s.TimestampMs, SchedulingMode: "latency_optimized", KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1}
				case 1:
					s.TimestampMs -= random.Int64N(100) // likely older than what is held
				}
				w.table.Apply(&s, worldSource, w.gateway.Now())
			}
		}
		w.table.Sweep(w.gateway.Now(), removeAfter)
	}

	var streams [4]*stream // engines, engines with stale ones, states, states with stale ones
	var views [2]view
	var states [2]map[string]state.State
	var limits [4]int // half of the time
	join := func(i int) {
		if streams[i] != nil {
			streams[i].conn.Close()
		}
		streams[i] = w.watch("?" + []string{"fields=engines", "stale=include&fields=engines", "fields=states", "stale=include"}[i] + limited(&limits[i], random))
		if i < 2 {
			views[i] = view{}
		} else {
			states[i-2] = map[string]state.State{}
		}
	}
	for i := range streams {
		join(i)
	}
	settle(tickInterval * 3 / 2)
	var staleSeen, removedSeen, returned int
	for range 600 {
		traffic()
		if random.IntN(50) == 0 {
			i := random.IntN(4)
			join(i)
			settle(tickInterval) // its snapshot
		}
		settle(tickInterval)
		for i, s := range streams {
			for _, e := range s.drain() {
				if limits[i] > 0 && e.size > limits[i] && e.engines(t) > 1 {
					t.Fatalf("%d engines in %d bytes: %+v", e.engines(t), e.size, e)
				}
				if i < 2 {
					for id, was := range views[i] { // what is stale has been dropped, here as in a client
						if i == 0 && was.stale(e.at) {
							delete(views[i], id)
							staleSeen++
						}
					}
					known := len(views[i])
					views[i].take(t, e)
					if e.name == "update" && limits[i] == 0 && len(views[i]) > known {
						returned++
					}
				} else {
					takeStates(t, states[i-2], e)
				}
				if e.name == "removed" {
					removedSeen++
				}
			}
		}
		compareViews(t, w, views, states)
	}
	t.Logf("%d times stale, %d events of removals, %d of returns", staleSeen, removedSeen, returned)
	if staleSeen == 0 || removedSeen == 0 || returned == 0 {
		t.Error("the traffic is too smooth")
	}
	for _, s := range streams {
		if err := s.over(); err != nil {
			t.Error(err)
		}
		s.conn.Close()
	}
}

// limited chooses a limit, or none, and returns the parameter that asks for it.
func limited(limit *int, random *rand.Rand) string {
	if *limit = []int{0, 0, 1024, 4000}[random.IntN(4)]; *limit == 0 {
		return ""
	}
	return fmt.Sprint("&max_event_bytes=", *limit)
}

func takeStates(t *testing.T, states map[string]state.State, e sent) {
	switch e.name {
	case "snapshot", "update":
		var event wireEvent[wireState]
		strict(t, []byte(e.data), &event)
		for id, s := range event.States {
			states[id] = s.state(t)
		}
	case "removed":
		for _, id := range removedIDs(t, e) {
			delete(states, id)
		}
	}
}

func compareViews(t *testing.T, w *world, views [2]view, states [2]map[string]state.State) {
	t.Helper()
	now, clock, rules := w.gateway.Now(), time.Now(), &w.api.info.Rules
	var all, living []string
	for h := range w.table.Range {
		stale := h.Status(now, rules) == state.Stale
		all = append(all, h.EngineID)
		if !stale {
			living = append(living, h.EngineID)
		}
		for i, v := range views {
			got, ok := v[h.EngineID]
			if !ok {
				continue // compared below
			}
			if got.state(t) != h.State || *got.ReceivedAtMs != unixMs(h.Received.Wall) || *got.StaleAfterMs != h.StaleAfter(rules).Milliseconds() ||
				got.stale(clock) != stale || math.Abs(got.age(clock)-float64(h.Age(now, rules))/1e6) > 0.002 {
				t.Fatalf("view %d: %+v, %v ms old\nheld %+v", i, got, got.age(clock), *h)
			}
		}
		for i, s := range states {
			if got, ok := s[h.EngineID]; ok && got != h.State {
				t.Fatalf("states %d: %+v\nheld %+v", i, got, *h)
			}
		}
	}
	keys := func(ids []string, more ...string) string {
		return fmt.Sprint(slices.Sorted(slices.Values(append(ids, more...))))
	}
	if got, want := keys(slices.Collect(maps.Keys(views[1]))), keys(all); got != want {
		t.Fatalf("with stale ones: %s, want %s", got, want)
	}
	if got, want := keys(slices.Collect(maps.Keys(states[1]))), keys(all); got != want {
		t.Fatalf("states with stale ones: %s, want %s", got, want)
	}
	var fresh []string
	for id, v := range views[0] {
		if !v.stale(clock) {
			fresh = append(fresh, id)
		}
	}
	if got, want := keys(fresh), keys(living); got != want {
		t.Fatalf("without stale ones: %s, want %s", got, want)
	}
	for _, id := range living {
		if _, ok := states[0][id]; !ok {
			t.Fatalf("states: no %s", id)
		}
	}
	for id := range states[0] {
		if !slices.Contains(all, id) {
			t.Fatalf("states: %s is not held any more", id)
		}
	}
}
