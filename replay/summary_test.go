package replay

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// A summary counts what a gateway counts, and its engines' figures are the parts of that.
func TestSummaryIsOfTheSameRules(t *testing.T) {
	for name, c := range map[string]captured{"incident": incident(), "quiet": quiet()} {
		o := NewOffline(c.source(), incidentSettings(nil))
		if err := o.Run(); err != nil {
			t.Fatal(err)
		}
		sum, err := Summarize(c.source(), incidentSettings(nil))
		if err != nil {
			t.Fatal(err)
		}
		s := sum.Statistics
		if s := fmt.Sprint(s); s != fmt.Sprint(o.Statistics()) {
			t.Errorf("%s: %s, want %+v", name, s, o.Statistics())
		}
		var parts Statistics
		var gaps uint64
		for _, e := range sum.Engines {
			parts.Applied += e.Applied
			parts.Duplicate += e.Duplicate
			parts.OutOfOrder += e.OutOfOrder
			parts.ClockReset += e.ClockReset
			parts.Heartbeats += e.Heartbeats
			parts.Conflicts += e.Conflicts
			gaps += e.Gaps
			if !e.Removed {
				parts.Engines[e.Status]++
			}
		}
		if parts.Applied != s.Applied || parts.Duplicate != s.Duplicate || parts.OutOfOrder != s.OutOfOrder || parts.ClockReset != s.ClockReset ||
			parts.Heartbeats != s.Heartbeats || parts.Conflicts != s.Conflicts || parts.Engines != s.Engines || gaps != sum.Gaps || sum.Unlisted != 0 {
			t.Errorf("%s: the engines have %+v, gaps %d; all of it is %+v, gaps %d, unlisted %d", name, parts, gaps, s, sum.Gaps, sum.Unlisted)
		}
		if !sum.First.Equal(c[0].Time) || !sum.Last.Equal(c[len(c)-1].Time) {
			t.Errorf("%s: from %v to %v", name, sum.First, sum.Last)
		}
	}
}

// What is wrong with an engine is in its figures, and the worst come first.
func TestSummaryOfEngines(t *testing.T) {
	sum, err := Summarize(incident().source(), incidentSettings(nil))
	if err != nil {
		t.Fatal(err)
	}
	engines := map[string]EngineSummary{}
	for i, e := range sum.Engines {
		engines[e.EngineID] = e
		if i > 0 && e.Gaps > sum.Engines[i-1].Gaps {
			t.Errorf("%s with %d gaps comes after one with %d", e.EngineID, e.Gaps, sum.Engines[i-1].Gaps)
		}
	}
	const id = "http://10.0.0.1:"
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"steady", engines[id+"steady"].Gaps == 0 && engines[id+"steady"].Status == state.Fresh && engines[id+"steady"].LongestSilence < time.Second},
		{"its interval", (engines[id+"steady"].PushInterval - 503*time.Millisecond).Abs() < 4*time.Millisecond},
		{"its skew", engines[id+"steady"].LeastSkewMs >= 0 && engines[id+"steady"].GreatestSkewMs <= 11},
		{"beats", engines[id+"beats"].Applied == engines[id+"beats"].Heartbeats && engines[id+"beats"].PushInterval == 0},
		{"clock set back", engines[id+"clock-back"].ClockReset == 1 && engines[id+"clock-back"].OutOfOrder == 2},
		{"clock set forth", engines[id+"clock-forth"].LeastSkewMs == -3_600_000 && engines[id+"clock-forth"].GreatestSkewMs >= 0},
		{"restarts", engines[id+"restarts"].Gaps == 1 && engines[id+"restarts"].LongestSilence > 3*time.Second},
		{"gone", engines[id+"gone"].Gaps == 1 && engines[id+"gone"].Removed && engines[id+"gone"].LongestSilence > 20*time.Second},
		{"returns", engines[id+"returns"].Gaps == 1 && !engines[id+"returns"].Removed && engines[id+"returns"].LongestSilence > 14*time.Second},
		{"copies", engines["copies"].Duplicate > 40},
		{"shared", engines["shared"].Conflicts == 1},
	} {
		if !c.ok {
			t.Errorf("%s: %+v", c.what, sum.Engines)
		}
	}
	if sum.Peak < 20 || sum.Peak > 40 {
		t.Errorf("at most %d in a second", sum.Peak)
	}
}

// A flood of invented engines is counted, and not listed without end.
func TestSummaryIsBounded(t *testing.T) {
	s := DefaultOfflineSettings()
	s.RemoveAfter = time.Second
	var c captured
	for i := range mostEngines + 50 {
		one := state.State{EngineID: fmt.Sprint(i), SchedulingMode: "balanced"}
		c = append(c, datagramFrom(0, time.Duration(i)*time.Millisecond, one.AppendJSON(nil)))
	}
	sum, err := Summarize(c.source(), s)
	if err != nil || len(sum.Engines) != mostEngines || sum.Unlisted != 50 || sum.Statistics.Applied != mostEngines+50 {
		t.Errorf("%d engines, %d unlisted, %+v, %v", len(sum.Engines), sum.Unlisted, sum.Statistics, err)
	}
}

// The median of a sample is near that of all, however they come.
func TestSampleMedian(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 255, 256, 100_000} {
		var s sample
		for i := range n {
			s.add(time.Duration(i+1), random)
		}
		middle := float64(n+1) / 2
		if got := float64(s.median()); got < 0.7*middle-1 || got > 1.3*middle || len(s.values) > sampleSize || n <= sampleSize && int(got) != (n+1)/2 {
			t.Errorf("of 1 … %d: %v", n, got)
		}
	}
	if (&sample{}).median() != 0 {
		t.Error("nothing has a median")
	}
}

// The interval that a summary tells is the one that agents push at, a break left out.
func TestSummaryOfAFleet(t *testing.T) {
	agent := traffic.NewEmulator(traffic.EmulatorConfig{EngineID: "a", Epoch: incidentBegin, Interval: 200 * time.Millisecond, Seed: 3})
	agent.Rest(20*time.Second, time.Minute)
	sum, err := Summarize(agents(5*time.Minute, agent).source(), DefaultOfflineSettings())
	if err != nil {
		t.Fatal(err)
	}
	if e := sum.Engines[0]; e.PushInterval < 200*time.Millisecond || e.PushInterval > 207*time.Millisecond || e.Gaps != 0 || e.Status != state.Fresh {
		t.Errorf("%+v", e)
	}
}
