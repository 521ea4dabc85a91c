package traffic

import (
	"reflect"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// datagram is one result of Next.
type datagram struct {
	at     time.Duration
	state  state.State
	copies int
}

// life returns what an emulator sends before a virtual time.
func life(e *Emulator, until time.Duration) (all []datagram) {
	for {
		at, s, copies := e.Next()
		if at >= until {
			return all
		}
		all = append(all, datagram{at, s, copies})
	}
}

var loaded = EmulatorConfig{EngineID: "http://10.0.0.1:8000", Seed: 5, Epoch: epoch, Start: 30 * time.Millisecond, Interval: 200 * time.Millisecond}

func TestEmulatorIsDeterministic(t *testing.T) {
	cfg := loaded
	cfg.Workload = Breaks
	script := func() []datagram {
		e := NewEmulator(cfg)
		e.StepClock(3*time.Second, time.Second)
		e.Restart(20*time.Second, time.Second)
		return life(e, 10*time.Minute)
	}
	if first, second := script(), script(); !reflect.DeepEqual(first, second) {
		t.Error("two lives of one seed differ")
	}
}

// Under load: an init state, real states at the interval and at most a step later, heartbeats at ticks no less than 2 s
// apart and never right behind a real state; all of it in order.
func TestEmulatorUnderLoad(t *testing.T) {
	cfg := loaded
	cfg.Copies = BroadcastCopies
	all := life(NewEmulator(cfg), 10*time.Minute)
	if first := all[0]; first.at != cfg.Start || !first.state.IsHeartbeat() {
		t.Errorf("it starts with %+v", first)
	}
	beat, push, heartbeats := cfg.Start, cfg.Start, 0
	for i, d := range all[1:] {
		last := all[i]
		if d.at < last.at || d.copies != BroadcastCopies || d.state.TimestampMs != epoch.Add(d.at).UnixMilli() {
			t.Fatalf("%+v after %+v", d, last)
		}
		if !d.state.IsHeartbeat() {
			if gap := d.at - push; gap < cfg.Interval || gap > cfg.Interval+stepTime {
				t.Errorf("a real state at %v, %v after the last one", d.at, gap)
			}
			push = d.at
			continue
		}
		heartbeats++
		if gap := d.at - beat; gap < heartbeatInterval || gap > heartbeatInterval+time.Second || gap%heartbeatTick != 0 {
			t.Errorf("a heartbeat at %v, %v after the last one", d.at, gap)
		}
		if d.state.TimestampMs == last.state.TimestampMs {
			t.Errorf("a heartbeat at %v in the millisecond of a real state before it", d.at)
		}
		beat = d.at
	}
	if heartbeats < 270 { // of 300
		t.Errorf("%d heartbeats in 10 min", heartbeats)
	}
}

func TestEmulatorWithoutWorkOnlyBeats(t *testing.T) {
	cfg := loaded
	cfg.Workload = NoWork
	for i, d := range life(NewEmulator(cfg), time.Minute) {
		if !d.state.IsHeartbeat() || d.copies != 1 || d.at != cfg.Start+time.Duration(i)*heartbeatInterval {
			t.Errorf("%d: %+v", i, d)
		}
	}
}

func TestEmulatorTurns(t *testing.T) {
	e := NewEmulator(loaded)
	e.Restart(20*time.Second, 500*time.Millisecond)
	e.StepClock(10*time.Second, -5*time.Second)
	e.StepClock(15*time.Second, time.Minute)
	e.Rest(30*time.Second, 7*time.Second)
	restarted := 0
	for _, d := range life(e, 40*time.Second) {
		offset := time.Duration(0)
		if d.at >= 10*time.Second {
			offset -= 5 * time.Second
		}
		if d.at >= 15*time.Second {
			offset += time.Minute
		}
		if d.state.TimestampMs != epoch.Add(d.at+offset).UnixMilli() {
			t.Errorf("at %v the clock is %v ahead, and the state of %d", d.at, offset, d.state.TimestampMs)
		}
		switch {
		case d.at > 20*time.Second && d.at < 20500*time.Millisecond:
			t.Errorf("while the agent is down: %+v", d)
		case d.at == 20500*time.Millisecond:
			restarted++
			if !d.state.IsHeartbeat() {
				t.Errorf("it starts again with %+v", d)
			}
		case d.at >= 30*time.Second && d.at < 37*time.Second && !d.state.IsHeartbeat():
			t.Errorf("without work: %+v", d)
		}
	}
	if restarted != 1 {
		t.Errorf("%d init states after the restart", restarted)
	}
}

// Eight engines with breaks are mostly all at work, in their first 20 s always, and yet some turn idle.
func TestBreaksAreSeldom(t *testing.T) {
	w := newWorld(usualRules, 1, fleet(8, 1, EmulatorConfig{Interval: 200 * time.Millisecond, Workload: Breaks})...)
	w.run(time.Second, time.Second, nil)
	samples, all, idle := 0, 0, 0
	w.run(20*time.Minute, 100*time.Millisecond, func() {
		n := w.statuses()
		samples++
		if n[state.Fresh] == 8 {
			all++
		} else if w.now < 20*time.Second {
			t.Errorf("after %v: %v", w.now, n)
		}
		if n[state.Idle] > 0 {
			idle++
		}
		if n[state.Fresh]+n[state.Idle] != 8 {
			t.Errorf("after %v: %v", w.now, n)
		}
	})
	t.Logf("all fresh in %d of %d samples, some idle in %d", all, samples, idle)
	if all*10 < samples*6 || idle*100 < samples {
		t.Errorf("all fresh in %d of %d samples, some idle in %d", all, samples, idle)
	}
	if w.outcomes.clockReset != 0 {
		t.Errorf("outcomes %+v", w.outcomes)
	}
}
