package replay

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/elrar/state-gateway/state"
)

// Summary is what a capture holds, as a gateway understands it.
type Summary struct {
	Statistics  Statistics // as a gateway would have counted; Statistics.Engines at the end of the capture
	First, Last time.Time  // captured times of the first and the last datagram; zero of an empty capture
	Peak        uint64     // most datagrams in one second, of the seconds since First
	Gaps        uint64     // silences that made an engine stale
	Engines     []EngineSummary
	Unlisted    uint64 // states of engines for which Engines had no room
}

// mostEngines bounds the list of engines, if MaxEngines is not more: those that are removed stay in it, and a flood of
// invented ids must not fill the memory.
const mostEngines = 10_000

// EngineSummary is what a capture holds of one engine. Those with the most trouble come first.
type EngineSummary struct {
	EngineID                    string
	Applied                     uint64
	Duplicate                   uint64
	OutOfOrder                  uint64
	ClockReset                  uint64
	Heartbeats                  uint64
	Conflicts                   uint64        // times that several senders were found to use the engine_id
	PushInterval                time.Duration // median time between the arrivals of real states; 0 with less than two
	Gaps                        uint64        // silences that made it stale, one that lasts until the end included
	LongestSilence              time.Duration // between applied states, or until the end
	LeastSkewMs, GreatestSkewMs int64         // of what the gateway showed as clock_skew_ms: > 0, the sender was behind
	Status                      state.Status  // at the end
	Removed                     bool          // at the end it was held no more, after its silence
}

// engineAccount is what a summary remembers of an engine while it reads.
type engineAccount struct {
	EngineSummary
	held      state.Held // after the newest applied state
	intervals sample
	loaded    bool  // there was a real state
	load      int64 // arrival of the newest, monotonic ns
}

// Summarize reads a capture to its end. The rules are those of a gateway with the settings; Log is not looked at. The
// error is as Offline.Run's, and comes with the summary of what was before it.
func Summarize(source Source, s OfflineSettings) (*Summary, error) {
	s.Log, s.History = nil, 0
	o := NewOffline(source, s)
	sum := &Summary{}
	accounts := map[string]*engineAccount{}
	random := rand.New(rand.NewPCG(0, 0)) // the same sample each time
	rules := o.gateway.Rules()
	var second int64
	var inSecond uint64
	for o.peek() {
		sum.Last = o.next.Time
		outcome := o.take()
		now := o.gateway.Now()
		if at := now.Mono / int64(time.Second); at != second {
			second, inSecond = at, 0
		}
		inSecond++
		sum.Peak = max(sum.Peak, inSecond)
		if outcome == 0 || outcome&state.Refused != 0 {
			continue
		}
		id := o.gateway.State().EngineID
		a := accounts[id]
		if a == nil {
			if len(accounts) >= max(s.MaxEngines, mostEngines) {
				sum.Unlisted++
				continue
			}
			held, _ := o.gateway.Table().Get(id) // whose strings last
			a = &engineAccount{EngineSummary: EngineSummary{EngineID: held.EngineID}}
			accounts[held.EngineID] = a
		}
		a.count(outcome)
		if outcome&state.Applied != 0 {
			held, _ := o.gateway.Table().Get(id)
			a.applied(held, outcome&state.Heartbeat == 0, &rules, random)
		}
	}
	err := o.pause()
	if o.began {
		sum.First = time.Unix(0, o.start)
	}
	sum.Statistics = o.Statistics()
	for _, a := range accounts {
		sum.Engines = append(sum.Engines, a.end(o))
		sum.Gaps += a.Gaps
	}
	slices.SortFunc(sum.Engines, byTrouble)
	return sum, err
}

func (a *engineAccount) count(outcome state.Outcome) {
	for _, c := range []struct {
		mark state.Outcome
		n    *uint64
	}{
		{state.Applied, &a.Applied}, {state.Duplicate, &a.Duplicate}, {state.OutOfOrder, &a.OutOfOrder},
		{state.ClockReset, &a.ClockReset}, {state.Heartbeat, &a.Heartbeats}, {state.NewConflict, &a.Conflicts},
	} {
		if outcome&c.mark != 0 {
			*c.n++
		}
	}
}

// applied notes an applied state, after which held is held.
func (a *engineAccount) applied(held state.Held, real bool, rules *state.Rules, random *rand.Rand) {
	if a.Applied == 1 {
		a.LeastSkewMs, a.GreatestSkewMs = held.ClockSkewMs, held.ClockSkewMs
	} else {
		a.silence(held.Received, rules)
	}
	a.LeastSkewMs, a.GreatestSkewMs = min(a.LeastSkewMs, held.ClockSkewMs), max(a.GreatestSkewMs, held.ClockSkewMs)
	if real {
		if a.loaded {
			a.intervals.add(time.Duration(held.Received.Mono-a.load), random)
		}
		a.loaded, a.load = true, held.Received.Mono
	}
	a.held = held
}

// silence notes the silence that ends now.
func (a *engineAccount) silence(now state.Instant, rules *state.Rules) {
	silence := a.held.Silence(now)
	a.LongestSilence = max(a.LongestSilence, silence)
	if silence > a.held.StaleAfter(rules) {
		a.Gaps++
	}
}

// end returns the summary at the end of the capture.
func (a *engineAccount) end(o *Offline) EngineSummary {
	rules, now := o.gateway.Rules(), o.gateway.Now()
	a.silence(now, &rules)
	a.PushInterval = a.intervals.median()
	held, ok := o.gateway.Table().Get(a.EngineID)
	a.Status, a.Removed = held.Status(now, &rules), !ok
	return a.EngineSummary
}

// byTrouble puts before others the engines of which more went wrong, in the order of how bad that is for a router.
func byTrouble(a, b EngineSummary) int {
	return cmp.Or(cmp.Compare(b.Gaps, a.Gaps), cmp.Compare(b.Conflicts, a.Conflicts), cmp.Compare(b.ClockReset, a.ClockReset),
		cmp.Compare(b.OutOfOrder, a.OutOfOrder), cmp.Compare(a.EngineID, b.EngineID))
}

// sample is some of very many durations, each of them with the same chance.
type sample struct {
	of     uint64
	values []time.Duration
}

// sampleSize is how many are kept of each engine: the median of 255 is, 19 times in 20, between the 44th and the 56th
// hundredth of all.
const sampleSize = 255

func (s *sample) add(d time.Duration, random *rand.Rand) {
	s.of++
	if len(s.values) < sampleSize {
		s.values = append(s.values, d)
	} else if i := random.Uint64N(s.of); i < sampleSize {
		s.values[i] = d
	}
}

// median returns the median of the sample, of two middle ones the smaller, or 0 of nothing. It sorts the sample.
func (s *sample) median() time.Duration {
	if len(s.values) == 0 {
		return 0
	}
	slices.Sort(s.values)
	return s.values[(len(s.values)-1)/2]
}
