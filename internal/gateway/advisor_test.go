package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// wallStart is the wall time of these tests at the monotonic time 0.
var wallStart = time.Unix(1_755_532_567, 0)

func after(d time.Duration) state.Instant {
	return state.Instant{Mono: int64(d), Wall: wallStart.Add(d).UnixNano()}
}

var one, other = netip.MustParseAddrPort("192.0.2.7:1"), netip.MustParseAddrPort("192.0.2.7:2")

// advised is an advisor on a table of its own, with what it says.
type advised struct {
	*advisor
	output bytes.Buffer
}

func newAdvised(rules state.Rules) *advised {
	a := &advised{}
	table := shard.New(shard.Config{MaxEngines: 2000, History: 10, Rules: rules})
	a.advisor = newAdvisor(table, &rules, slog.New(slog.NewJSONHandler(&a.output, nil)))
	return a
}

func usualRules() state.Rules {
	return state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}
}

// push applies a real state whose sender's clock is behind by skew.
func (a *advised) push(id string, at time.Duration, skew time.Duration, source netip.AddrPort) {
	a.table.Apply(&state.State{EngineID: id, TimestampMs: wallStart.Add(at - skew).UnixMilli(), SchedulingMode: "balanced",
		EngineCapacity: 1}, source, after(at))
}

// message is what of a message these tests look at.
type message struct {
	Time      time.Time `json:"time"`
	Level     string    `json:"level"`
	Text      string    `json:"msg"`
	EngineID  string    `json:"engine_id"`
	Skew      float64   `json:"skew_seconds"`
	Interval  float64   `json:"interval_seconds"`
	Pause     float64   `json:"longest_pause_seconds"`
	Threshold int64     `json:"set_VLLM_STATE_GATEWAY_STALE_THRESHOLD_to"`
	OneOfThem string    `json:"one_of_them"`
}

// look looks over the engines and returns what was said of them.
func (a *advised) look(t *testing.T, at time.Duration) []message {
	t.Helper()
	a.output.Reset()
	a.advisor.look(after(at))
	return a.messages(t)
}

func (a *advised) messages(t *testing.T) (all []message) {
	t.Helper()
	for line := range bytes.Lines(a.output.Bytes()) {
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m.Level != "WARN" || m.EngineID == "" {
			t.Errorf("not a warning about an engine: %s", line)
		}
		all = append(all, m)
	}
	return all
}

func TestAdviceOnClocks(t *testing.T) {
	a := newAdvised(usualRules())
	skews := map[string]time.Duration{"ahead": -1001 * time.Millisecond, "behind": 10 * time.Minute, "almost ahead": -time.Second,
		"almost behind": time.Second, "right": 3 * time.Millisecond}
	for id, skew := range skews {
		a.push(id, time.Second, skew, one)
	}
	absurd := state.State{EngineID: "absurd", TimestampMs: state.MaxInteger, SchedulingMode: "balanced"}
	a.table.Apply(&absurd, one, after(time.Second))
	said := map[string]float64{}
	for _, m := range a.look(t, time.Second) {
		if !strings.Contains(m.Text, "clock") || !strings.Contains(m.Text, "NTP") {
			t.Errorf("%+v", m)
		}
		said[m.EngineID] = m.Skew
	}
	if len(said) != 3 || said["ahead"] != -1.001 || said["behind"] != 600 || said["absurd"] > -9e12+2e9 {
		t.Errorf("said %v", said)
	}
}

// By a sender's clock that is behind, the engine is stale; that is when the advice is needed.
func TestAdviceOnClocksThatAgesGoBy(t *testing.T) {
	rules := usualRules()
	rules.SenderClock = true
	a := newAdvised(rules)
	a.push("behind", time.Second, time.Minute, one)
	if said := a.look(t, 2*time.Second); len(said) != 1 || said[0].Skew != 60 {
		t.Errorf("said %+v", said)
	}
}

func TestAdviceOnIntervals(t *testing.T) {
	for _, test := range []struct {
		interval, threshold time.Duration
		want                int64 // ms; 0 = nothing is said
	}{
		{200 * time.Millisecond, 2 * time.Second, 0},
		{time.Second, 2 * time.Second, 0},
		{time.Second + time.Microsecond, 2 * time.Second, 2600},
		{1200 * time.Millisecond, 2 * time.Second, 3000},
		{30 * time.Second, 2 * time.Second, 75_000},
		{time.Millisecond, time.Millisecond, 100},
	} {
		a := newAdvised(state.Rules{StaleThreshold: test.threshold})
		last := time.Duration(0)
		for i := range 9 {
			last = time.Duration(i) * test.interval
			a.push("a", last, 0, one)
		}
		said := a.look(t, last)
		if test.want == 0 {
			if len(said) != 0 {
				t.Errorf("%v of %v: said %+v", test.interval, test.threshold, said)
			}
			continue
		}
		if len(said) != 1 || said[0].Interval != test.interval.Seconds() || said[0].Threshold != test.want || !strings.Contains(said[0].Text, "seldom") {
			t.Errorf("%v of %v: said %+v", test.interval, test.threshold, said)
		}
		a.rules.StaleThreshold = time.Duration(test.want) * time.Millisecond
		clear(a.said)
		h, _ := a.table.Get("a")
		lost := after(last + 2*test.interval)
		if said := a.look(t, last); len(said) != 0 || h.Status(lost, a.rules) == state.Stale {
			t.Errorf("%v: the advice, once taken, was not enough: %+v", test.interval, said)
		}
	}
}

// A long scheduling step now and then is told of, though the usual interval is short: a heartbeat in it shows a loaded
// engine as idle. An engine at rest is no such one, nor one that never beats.
func TestAdviceOnPauses(t *testing.T) {
	for _, c := range []struct {
		name    string
		pause   time.Duration
		beats   []time.Duration // after the pause's begin
		pending int64
		literal bool
		want    int64 // ms; 0 = nothing is said
	}{
		{"a step of 1.5 s", 1500 * time.Millisecond, []time.Duration{1100 * time.Millisecond}, 7, false, 3800},
		{"a step in which it does not beat by chance", 1500 * time.Millisecond, nil, 7, false, 3800},
		{"just short enough", time.Second, []time.Duration{999 * time.Millisecond}, 7, false, 0},
		{"a rest", 4200 * time.Millisecond, []time.Duration{1100 * time.Millisecond, 3100 * time.Millisecond}, 7, false, 0},
		{"a short rest", 1500 * time.Millisecond, []time.Duration{1100 * time.Millisecond}, 0, false, 0},
		{"without merging", 1500 * time.Millisecond, []time.Duration{1100 * time.Millisecond}, 7, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := usualRules()
			rules.HeartbeatMerge = !c.literal
			a := &advised{}
			table := shard.New(shard.Config{MaxEngines: 10, History: 100, Rules: rules})
			a.advisor = newAdvisor(table, &rules, slog.New(slog.NewJSONHandler(&a.output, nil)))
			at := time.Duration(0)
			send := func(id string, at time.Duration, s state.State) {
				s.EngineID, s.TimestampMs = id, wallStart.Add(at).UnixMilli()
				table.Apply(&s, one, after(at))
			}
			heartbeat := state.State{SchedulingMode: "latency_optimized", KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.Unknown}
			real := state.State{SchedulingMode: "balanced", PendingTokensTotal: c.pending, EngineCapacity: 1}
			push := func(n int) {
				for range n {
					send("a", at, real)
					send("never beats", at, real)
					at += 200 * time.Millisecond
				}
			}
			send("a", at, heartbeat)
			at += 10 * time.Millisecond
			push(20)
			at -= 200 * time.Millisecond
			for _, beat := range c.beats {
				send("a", at+beat, heartbeat)
			}
			shown, _ := table.Get("a")
			if at += c.pause; shown.Idle != (c.want != 0 && c.beats != nil || !c.literal && (c.pending == 0 || len(c.beats) > 1)) {
				t.Errorf("in the pause it was idle: %v", shown.Idle)
			}
			push(10)
			said := a.look(t, at)
			if c.want == 0 {
				if len(said) != 0 {
					t.Errorf("said %+v", said)
				}
				return
			}
			if len(said) != 1 || said[0].EngineID != "a" || said[0].Pause != c.pause.Seconds() || said[0].Threshold != c.want {
				t.Fatalf("said %+v", said)
			}
			rules.StaleThreshold = time.Duration(c.want) * time.Millisecond
			clear(a.said)
			if said := a.look(t, at); len(said) != 0 {
				t.Errorf("the advice, once taken, was not enough: %+v", said)
			}
		})
	}
}

func TestAdviceOnIdentities(t *testing.T) {
	a := newAdvised(usualRules())
	for i := range 5 { // four changes
		at := time.Duration(i) * 200 * time.Millisecond
		a.push("two", at, 0, []netip.AddrPort{one, other}[i%2])
		a.push("restarted", at, 0, []netip.AddrPort{one, other}[i/3])
		if said := a.look(t, at); (len(said) != 0) != (i == 4) {
			t.Errorf("after %d changes: said %+v", i, said)
		}
	}
	m := a.messages(t)[0]
	if m.EngineID != "two" || m.OneOfThem != one.String() || !strings.Contains(m.Text, "several senders") {
		t.Errorf("said %+v", m)
	}
}

// The kinds of messages about one engine do not hold up each other; each is said again when it still holds after a while.
func TestAdviceIsRepeatedSeldom(t *testing.T) {
	a := newAdvised(usualRules())
	var said []time.Duration
	for at := time.Duration(0); at <= 2*adviceRepeat; at += adviceInterval {
		a.push("a", at, time.Hour, one) // its interval, 5 s, is too long as well
		a.push("b", at-time.Second, 0, one)
		for _, m := range a.look(t, at) {
			if m.EngineID == "a" && m.Skew != 0 {
				said = append(said, at)
			} else if m.Interval != 5 {
				t.Errorf("at %v: %+v", at, m)
			}
		}
	}
	if want := []time.Duration{0, adviceRepeat, 2 * adviceRepeat}; fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("said at %v, want %v", said, want)
	}
	if len(a.said) != 3 {
		t.Errorf("remembers %v", a.said)
	}
}

// A whole fleet in trouble: a few messages at a time, and every engine's turn comes.
func TestAdviceOnManyEngines(t *testing.T) {
	const engines = 300
	a := newAdvised(usualRules())
	total := map[string]int{}
	for at := time.Duration(0); at < adviceRepeat; at += adviceInterval {
		for i := range engines {
			a.table.Apply(&state.State{EngineID: fmt.Sprint(i), TimestampMs: after(at).Wall/1e6 + 3_600_000, SchedulingMode: "balanced"}, one, after(at))
		}
		a.rules.StaleThreshold = time.Minute // clocks only
		n := 0
		for _, m := range a.look(t, at) {
			total[m.EngineID]++
			n++
		}
		most := int(adviceInterval / time.Second)
		if at == 0 {
			most = adviceBurst
		}
		if n > most {
			t.Errorf("at %v: %d messages", at, n)
		}
	}
	for id, n := range total {
		if n != 1 {
			t.Errorf("engine %s: %d messages", id, n)
		}
	}
	if len(total) != engines {
		t.Errorf("%d of %d engines were spoken of", len(total), engines)
	}
}

// Nothing is remembered of an engine that was removed: when it comes back it is told of anew.
func TestAdviceForgetsRemovedEngines(t *testing.T) {
	a := newAdvised(usualRules())
	a.push("a", 0, time.Hour, one)
	a.push("b", 0, time.Hour, one)
	a.look(t, 0)
	a.push("b", time.Minute, time.Hour, one)
	if n := a.table.Sweep(after(time.Minute), 30*time.Second); n != 1 {
		t.Fatalf("%d removed", n)
	}
	if said := a.look(t, time.Minute); len(a.said) != 2 || len(said) != 1 || said[0].EngineID != "b" || said[0].Interval != 60 {
		t.Errorf("remembers %v, said %+v", a.said, said)
	}
	a.push("a", 2*time.Minute, time.Hour, one)
	if said := a.look(t, 2*time.Minute); len(said) != 1 || said[0].EngineID != "a" {
		t.Errorf("said %+v", said)
	}
}

// There is nothing to say of an engine that no longer sends.
func TestNoAdviceOnTheSilent(t *testing.T) {
	a := newAdvised(usualRules())
	a.push("a", 0, time.Hour, one)
	if said := a.look(t, 2*time.Second+1); len(said) != 0 {
		t.Errorf("said %+v", said)
	}
}

func TestAdvisorRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdvised(usualRules())
		a.push("a", adviceInterval, time.Hour, one)
		started := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			a.run(ctx, func() state.Instant { return after(time.Since(started)) })
			close(done)
		}()
		time.Sleep(2*adviceInterval - 1)
		cancel()
		<-done
		if said := a.messages(t); len(said) != 1 || !said[0].Time.Equal(started.Add(adviceInterval)) {
			t.Errorf("said %+v", said)
		}
	})
}
