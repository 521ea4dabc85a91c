package traffic

import (
	"fmt"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// study is a share of samples, each of which is one loaded engine as a router sees it at one millisecond.
type study struct {
	samples    int
	idle       int           // shown without work: latency 0 and nothing pending, or not the status fresh
	capacity   int           // shown with the capacity 0
	wrong      int           // either
	heartbeats int           // received under load
	longest    time.Duration // that an engine was shown wrongly without a break
}

// runStudy lets eight agents under load push for a second and then looks at each of them at every millisecond for 60 s.
func runStudy(seed uint64, interval time.Duration, merge bool) (s study) {
	const engines = 8
	rules := usualRules
	rules.HeartbeatMerge = merge
	w := newWorld(rules, seed, fleet(engines, seed, EmulatorConfig{Interval: interval})...)
	w.run(time.Second, time.Second, nil)             // by then each has pushed a real state, so that there is a load to be seen
	var shown [engines]struct{ idle, capacity bool } // changes with an arrival only, so that it is read only then
	read := func(i int) {
		h, status, _ := w.held(i)
		shown[i].idle = status != state.Fresh || h.LatencyPredMs == 0 && h.PendingTokensTotal == 0
		shown[i].capacity = h.EngineCapacity != 0
	}
	for i := range engines {
		read(i)
	}
	w.watch = func(a *arrival, _ state.Outcome) {
		read(a.agent)
		if a.state.IsHeartbeat() {
			s.heartbeats++
		}
	}
	var right [engines]time.Duration // when each engine was shown as it is last
	w.run(61*time.Second, time.Millisecond, func() {
		for i := range shown {
			s.samples++
			if shown[i].idle {
				s.idle++
			}
			if !shown[i].capacity {
				s.capacity++
			}
			if shown[i].idle || !shown[i].capacity {
				s.wrong++
				s.longest = max(s.longest, w.now-right[i])
			} else {
				right[i] = w.now
			}
		}
	})
	return s
}

func (s study) share() float64 { return float64(s.wrong) / float64(s.samples) }

func (s study) String() string {
	return fmt.Sprintf("%d of %d samples = %.2f %% (idle %d, without capacity %d; at most %v at a time; %d heartbeats)",
		s.wrong, s.samples, 100*s.share(), s.idle, s.capacity, s.longest, s.heartbeats)
}

// How often a router sees a loaded engine as idle or without its capacity. docs/semantics.md has these figures.
func TestStudyOfHeartbeats(t *testing.T) {
	const seeds = 5
	for _, c := range []struct {
		interval    time.Duration
		least, most float64 // of the share with HEARTBEAT_MERGE=false
	}{
		// A heartbeat every 2 s and a bit stands until the next real state: on average half an interval.
		{200 * time.Millisecond, 0.045, 0.056},
		{100 * time.Millisecond, 0.022, 0.030},
	} {
		t.Run(c.interval.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				literal := runStudy(seed, c.interval, false)
				merged := runStudy(seed, c.interval, true)
				t.Logf("seed %d, HEARTBEAT_MERGE=false: %v", seed, literal)
				t.Logf("seed %d, HEARTBEAT_MERGE=true:  %v", seed, merged)
				if share := literal.share(); share < c.least || share > c.most {
					t.Errorf("taken literally, heartbeats hide the load in %.2f %% of the samples", 100*share)
				}
				if merged.wrong != 0 {
					t.Errorf("merged heartbeats hide the load in %d samples", merged.wrong)
				}
				if merged.heartbeats < 8*25 { // of 8 × 30
					t.Errorf("%d heartbeats", merged.heartbeats)
				}
			}
		})
	}
}
