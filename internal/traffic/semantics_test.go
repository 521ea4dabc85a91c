package traffic

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// silenceOf is how long an engine with an agent, which beats, may be silent before it is stale.
const silenceOf = 2500 * time.Millisecond

// clockCase is a sender's clock: an offset all the time, and a step after 20 s.
type clockCase struct {
	offset, step time.Duration
	copies       int
}

func clockCases() map[string]clockCase {
	cases := map[string]clockCase{}
	for _, offset := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		for _, step := range []time.Duration{0, 5 * time.Second, -5 * time.Second} {
			for _, copies := range []int{1, BroadcastCopies} {
				cases[fmt.Sprintf("offset %v, step %v, copies %d", offset, step, copies)] = clockCase{offset, step, copies}
			}
		}
	}
	return cases
}

func (c clockCase) world(workload Workload) *world {
	rules := usualRules
	rules.WatchSources = c.copies == 1
	agents := fleet(2, 3, EmulatorConfig{Interval: 200 * time.Millisecond, ClockOffset: c.offset, Workload: workload, Copies: c.copies})
	for _, a := range agents {
		a.StepClock(20*time.Second, c.step)
	}
	return newWorld(rules, 4, agents...)
}

// No clock of a sender makes its engine fresh or stale; the skew says what the clock does; a clock set back costs at
// most two datagrams.
func TestClocksOfLoadedEngines(t *testing.T) {
	perform(t, clockCases(), func(t *testing.T, c clockCase) {
		w := c.world(Steady)
		lost := [2]int{}
		back := [2]bool{}
		newest := [2]int{-1, -1} // number of the newest datagram that got lost, so as not to count its copies
		w.watch = func(a *arrival, outcome state.Outcome) {
			if a.sent < 20*time.Second {
				return
			}
			switch {
			case outcome&state.Applied != 0:
				back[a.agent] = true
			case !back[a.agent] && a.number != newest[a.agent]:
				lost[a.agent]++
				newest[a.agent] = a.number
			}
		}
		w.run(time.Second, time.Second, nil)
		// The skew window is a minute: a step forward shows at once, a step back when what was before has left.
		w.run(100*time.Second, 10*time.Millisecond, func() {
			for i := range w.agents {
				h, status, _ := w.held(i)
				if status != state.Fresh {
					t.Errorf("%v: engine %d is %v", w.now, i, status)
				}
				ahead, from, to := c.offset, 20*time.Second, 20500*time.Millisecond
				if c.step < 0 {
					from, to = 79*time.Second, 83*time.Second
				}
				if w.now > to {
					ahead += c.step
				} else if w.now > from {
					continue // on the way from one to the other
				}
				if behind := time.Duration(h.ClockSkewMs) * time.Millisecond; behind < -ahead || behind > -ahead+12*time.Millisecond {
					t.Errorf("%v: engine %d's clock is %v ahead, shown as a skew of %v", w.now, i, ahead, behind)
				}
			}
			if t.Failed() {
				t.FailNow()
			}
		})
		for i := range w.agents {
			wanted := 0
			if c.step < 0 {
				wanted = 2
			}
			if lost[i] != wanted || !back[i] {
				t.Errorf("engine %d: %d datagrams lost after the step, want %d", i, lost[i], wanted)
			}
		}
		resets := 0
		if c.step < 0 {
			resets = len(w.agents)
		}
		if w.outcomes.clockReset != resets || w.outcomes.duplicate == 0 && c.copies > 1 {
			t.Errorf("outcomes %+v, want %d clock resets", w.outcomes, resets)
		}
		w.checkSilence(t, state.Fresh)
	})
}

// Agents that only beat, every 2 s, never flap. One thing the rules do not spare them: after a step back their next
// heartbeat is not believed, and the engine is stale until the one that comes when it is; then it is back.
func TestClocksOfAgentsThatOnlyBeat(t *testing.T) {
	perform(t, clockCases(), func(t *testing.T, c clockCase) {
		w := c.world(NoWork)
		w.run(100*time.Millisecond+10*time.Millisecond+time.Millisecond, time.Second, nil)
		var stale time.Duration
		w.run(100*time.Second, 10*time.Millisecond, func() {
			for i := range w.agents {
				switch _, status, _ := w.held(i); {
				case status == state.Stale && c.step < 0 && w.now > 20*time.Second && w.now < 24*time.Second:
					stale += 10 * time.Millisecond
				case status != state.Initializing:
					t.Fatalf("%v: engine %d is %v", w.now, i, status)
				}
			}
		})
		if limit := time.Duration(len(w.agents)) * 1520 * time.Millisecond; stale > limit {
			t.Errorf("stale for %v after the step back, at most %v", stale, limit)
		}
		if c.step >= 0 && w.outcomes.outOfOrder+w.outcomes.clockReset != 0 {
			t.Errorf("outcomes %+v", w.outcomes)
		}
		w.checkSilence(t, state.Initializing)
	})
}

// checkSilence lets everybody fall silent and checks that no engine is stale before it has been silent long enough, and
// all are afterwards.
func (w *world) checkSilence(t *testing.T, before state.Status) {
	t.Helper()
	w.silent = true
	w.run(w.now+12*time.Millisecond, time.Millisecond, nil) // what is under way
	w.run(w.now+4*time.Second, time.Millisecond, func() {
		for i := range w.agents {
			h, status, _ := w.held(i)
			silence := time.Duration(instant(w.now).Mono - h.Received.Mono)
			want := before
			if silence > silenceOf {
				want = state.Stale
			}
			if status != want {
				t.Fatalf("engine %d is %v after %v of silence", i, status, silence)
			}
		}
	})
	if n := w.statuses(); n[state.Stale] != len(w.agents) {
		t.Errorf("after the silence: %v", n)
	}
}

// Engines that run out of work turn idle and stay it, with their capacity, for as long as their agents beat.
func TestIdleEnginesDoNotFlap(t *testing.T) {
	agents := fleet(8, 6, EmulatorConfig{Interval: 200 * time.Millisecond})
	for _, a := range agents {
		a.Rest(5*time.Second, time.Hour)
	}
	w := newWorld(usualRules, 6, agents...)
	w.run(time.Second, time.Second, nil)
	capacities := map[string]float64{}
	w.run(10*time.Minute, 20*time.Millisecond, func() {
		w.table.Range(func(h *state.Held) bool {
			status := h.Status(instant(w.now), &w.rules)
			switch {
			case w.now < 5*time.Second:
				capacities[h.EngineID] = h.EngineCapacity
				if status != state.Fresh {
					t.Errorf("%v: %s is %v", w.now, h.EngineID, status)
				}
			case w.now < 8200*time.Millisecond: // a heartbeat that comes more than 1 s after the last real state
				if status != state.Fresh && status != state.Idle {
					t.Errorf("%v: %s is %v", w.now, h.EngineID, status)
				}
			case status != state.Idle || h.LatencyPredMs != 0 || h.PendingTokensTotal != 0:
				t.Errorf("%v: %s is %v with %+v", w.now, h.EngineID, status, h.State)
			}
			if h.EngineCapacity == 0 || h.EngineCapacity != capacities[h.EngineID] {
				t.Errorf("%v: %s has the capacity %v, and had %v", w.now, h.EngineID, h.EngineCapacity, capacities[h.EngineID])
			}
			return !t.Failed()
		})
		if t.Failed() {
			t.FailNow()
		}
	})
}

// A restart, with the host's clock as it was, ahead or set back meanwhile: the engine is served again within three
// datagrams, and turns stale only if it was down for long enough.
func TestRestart(t *testing.T) {
	type restart struct{ down, step time.Duration }
	cases := map[string]restart{}
	for _, down := range []time.Duration{0, time.Second, 5 * time.Second} {
		for _, step := range []time.Duration{0, 10 * time.Second, -10 * time.Second} {
			cases[fmt.Sprintf("down %v, step %v", down, step)] = restart{down, step}
		}
	}
	perform(t, cases, func(t *testing.T, c restart) {
		agent := fleet(1, 8, EmulatorConfig{Interval: 200 * time.Millisecond})[0]
		agent.Restart(20*time.Second, c.down)
		agent.StepClock(20*time.Second, c.step)
		w := newWorld(usualRules, 8, agent)
		lost, back := 0, false
		w.watch = func(a *arrival, outcome state.Outcome) {
			if a.sent >= 20*time.Second {
				back = back || outcome&state.Applied != 0
				if !back {
					lost++
				}
			}
		}
		w.run(time.Second, time.Second, nil)
		stale := time.Duration(0)
		w.run(40*time.Second, time.Millisecond, func() {
			_, status, _ := w.held(0)
			if status == state.Stale {
				stale += time.Millisecond
			}
			if status == state.Initializing || status == state.Fresh && w.now > 23*time.Second && w.now < 20*time.Second+c.down {
				t.Fatalf("%v: %v", w.now, status)
			}
		})
		want := 0
		if c.step < 0 && c.down < silenceOf {
			want = 2
		}
		if _, status, _ := w.held(0); lost != want || status != state.Fresh {
			t.Errorf("%d datagrams lost, want %d; %v", lost, want, status)
		}
		if most := max(0, c.down-silenceOf+220*time.Millisecond); stale > most || stale == 0 && c.down > silenceOf {
			t.Errorf("stale for %v", stale)
		}
	})
}

// A fleet that falls silent is all stale after the threshold and gone after the time for removal, with nothing arriving;
// an engine that comes back starts clean.
func TestSilentFleetGoes(t *testing.T) {
	const removeAfter = 300 * time.Second
	w := newWorld(usualRules, 9, fleet(8, 9, EmulatorConfig{Interval: 200 * time.Millisecond})...)
	mute := NewAgent("http://10.0.1.0:8000", 1) // one that never beats
	w.run(10*time.Second, 200*time.Millisecond, func() {
		s := mute.Next(epoch.Add(w.now))
		w.table.Apply(&s, netip.AddrPort{}, instant(w.now))
	})
	w.silent = true
	w.run(10*time.Second+11*time.Millisecond, time.Second, nil)
	h, _ := w.table.Get("http://10.0.1.0:8000")
	newest := w.last
	fell := w.now
	removed, sweeps := 0, 0
	w.run(newest+removeAfter+2*time.Second, 10*time.Millisecond, func() {
		if w.now/time.Second != (w.now-10*time.Millisecond)/time.Second { // the gateway's timer
			removed += w.table.Sweep(instant(w.now), removeAfter)
			sweeps++
		}
		n := w.statuses()
		switch since := w.now - newest; {
		case since > silenceOf && n[state.Stale] != w.table.Engines():
			t.Fatalf("%v after the newest arrival: %v", since, n)
		case w.now < 10*time.Second+usualRules.StaleThreshold && n[state.Fresh] != 9,
			w.now-fell < 2*time.Second-12*time.Millisecond && n[state.Stale] != 0:
			t.Fatalf("%v after the newest arrival: %v", since, n)
		case since < removeAfter-time.Second && w.table.Engines() != 9:
			t.Fatalf("%v after the newest arrival %d engines are held", since, w.table.Engines())
		case since > removeAfter+time.Second && w.table.Engines() != 0:
			t.Fatalf("%v after the newest arrival %d engines are held", since, w.table.Engines())
		}
		if w.now-time.Duration(h.Received.Mono-instant(0).Mono) > 2*time.Second && w.now < newest+removeAfter-time.Second {
			if held, _ := w.table.Get(h.EngineID); held.Status(instant(w.now), &w.rules) != state.Stale {
				t.Fatalf("%v: the engine without heartbeats is not stale", w.now)
			}
		}
	})
	if removed != 9 || w.table.Removed() != 9 || sweeps < 300 {
		t.Errorf("%d removed in %d sweeps, counted %d", removed, sweeps, w.table.Removed())
	}
	beat := NewAgent(engineID(0), 1).Heartbeat(epoch.Add(w.now - time.Hour)) // its clock has been set back far
	if outcome := w.table.Apply(&beat, netip.AddrPort{}, instant(w.now)); outcome&state.Initialized == 0 {
		t.Errorf("outcome %b", outcome)
	}
	again, status, _ := w.held(0)
	records, _ := w.table.History(engineID(0), 100)
	if status != state.Initializing || len(records) != 1 || again.LoadTimestampMs != state.NoLoad || again.EngineCapacity != 0 {
		t.Errorf("%v with %d records: %+v", status, len(records), again)
	}
}
