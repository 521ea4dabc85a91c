package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// A gateway that runs and one that does not hold and count the same at any time, its sweeps included: states of agents
// with clock steps, restarts and breaks, copies, garbage, silences around REMOVE_AFTER, a table that is too small.
func TestOfflineIsTheSame(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) { compareOffline(t, seed) })
	}
}

func compareOffline(t *testing.T, seed uint64) {
	set := settings(t, func(s *config.Settings) {
		s.EnableLog = false
		s.RemoveAfter = 4 * time.Second
		if s.MaxEngines = 7; seed == 1 {
			s.MaxEngines = 100 // nobody is replaced, and the silent are removed
		}
		s.SenderClock, s.HeartbeatMerge = seed == 2, seed != 3
	})
	g, err := New(set, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan struct{})
	go func() { g.sweep(ctx); close(swept) }()
	defer func() { cancel(); <-swept }()
	o := NewOffline(set, nil)

	random := rand.New(rand.NewPCG(seed, 6))
	var agents []*traffic.Emulator
	var sent []time.Duration
	var payloads [][]byte
	next := func(i int) {
		at, s, _ := agents[i].Next()
		sent[i], payloads[i] = at, s.AppendJSON(nil)
	}
	for i := range 9 {
		e := traffic.NewEmulator(traffic.EmulatorConfig{EngineID: fmt.Sprint("engine ", i), Seed: seed*100 + uint64(i), Epoch: g.started,
			Start: time.Duration(i) * 700 * time.Millisecond, Interval: 200 * time.Millisecond, Workload: traffic.Workload(i % 3)})
		for range 3 {
			at := time.Duration(random.Int64N(int64(time.Minute)))
			e.StepClock(at, time.Duration(random.NormFloat64()*float64(5*time.Second)))
			e.Restart(time.Duration(random.Int64N(int64(time.Minute))), time.Duration(random.Int64N(int64(6*time.Second))))
		}
		agents, sent, payloads = append(agents, e), append(sent, 0), append(payloads, nil)
		next(i)
	}
	for range 2500 {
		first := 0
		for i := range agents {
			if sent[i] < sent[first] {
				first = i
			}
		}
		time.Sleep(time.Until(g.started.Add(sent[first] + 1))) // not at the very moment of a sweep
		synctest.Wait()
		payload := payloads[first]
		switch random.IntN(20) {
		case 0:
			payload = payload[:random.IntN(len(payload))]
		case 1:
			payload = []byte(datagram(fmt.Sprint("invented ", random.IntN(50)), 1))
		}
		next(first)
		source := netip.AddrPortFrom(one.Addr(), uint16(1+random.IntN(20)/19*random.IntN(3)))
		for range 1 + random.IntN(10)/9 {
			p := g.pipelines[0]
			p.begin(time.Now())
			if len(payload) > 0 {
				p.handle(payload, source)
			} else {
				p.counters.rejected[state.Empty].Add(1)
			}
			p.commit()
			if _, err := o.Take(Arrival{At: g.Now(), Payload: payload, Source: source}); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(100) == 0 {
			agree(t, g, o)
		}
	}
	time.Sleep(2*time.Second + 1)
	synctest.Wait()
	o.Advance(g.Now())
	agree(t, g, o)
	s := o.Statistics()
	if seed == 0 && (s.Duplicate == 0 || s.OutOfOrder == 0 || s.ClockReset == 0 || s.Heartbeats == 0 || s.Conflicts == 0 || s.Replaced == 0 ||
		s.Rejected[state.EngineLimit] == 0 || s.Rejected[state.JSON] == 0 || s.Engines[state.Stale] == 0) || seed == 1 && s.Removed == 0 {
		t.Errorf("not a mixture of everything: %+v", s)
	}
	checkIdentity(t, s)
}

// agree compares all that the two hold and count.
func agree(t *testing.T, g *Gateway, o *Offline) {
	t.Helper()
	live, offline := g.Statistics(), o.Statistics()
	live.Received, live.Unicast, live.Bytes, live.LastReceived, live.Sockets = offline.Received, offline.Unicast, offline.Bytes, offline.LastReceived, nil
	if !reflect.DeepEqual(live, offline) {
		t.Errorf("at %v:\nlive    %+v\noffline %+v", g.Now().Mono, live, offline)
	}
	held := func(rangeOver func(func(*state.Held) bool)) map[string]state.Held {
		m := map[string]state.Held{}
		rangeOver(func(h *state.Held) bool { m[h.EngineID] = *h; return true })
		return m
	}
	if a, b := held(g.Table().Range), held(o.Table().Range); !reflect.DeepEqual(a, b) {
		t.Errorf("at %v:\nlive    %+v\noffline %+v", g.Now().Mono, a, b)
	}
}

// instant returns the moment a duration after the start of an Offline.
func instant(after time.Duration) state.Instant {
	return state.Instant{Mono: int64(after), Wall: time.Unix(1_755_532_567, 0).Add(after).UnixNano()}
}

// Every reason is counted, in the packet engine's place, too; broadcasts are counted in broadcast mode only.
func TestOfflineCounts(t *testing.T) {
	for _, mode := range []config.NetworkMode{config.Unicast, config.Broadcast} {
		o := NewOffline(settings(t, func(s *config.Settings) { s.MaxDatagram, s.MaxEngines, s.NetworkMode = 512, 1, mode }), nil)
		for i, payload := range []string{
			datagram("a", 1), "", strings.Repeat(" ", 513), "{", `{"engine_id": "a", "engine_id": "a"}`, "{}",
			strings.Replace(datagram("a", 2), `"a"`, "1", 1), datagram("a", -1), datagram("b", 1),
			datagram("a", 1), datagram("a", 0),
		} {
			if _, err := o.Take(Arrival{At: instant(time.Duration(i)), Payload: []byte(payload), Broadcast: i < 3}); err != nil {
				t.Fatal(err)
			}
		}
		s := o.Statistics()
		checkIdentity(t, s)
		if want := [state.Reasons]uint64{0, 1, 1, 1, 1, 1, 1, 1, 1}; s.Rejected != want {
			t.Errorf("rejected %v, want %v", s.Rejected, want)
		}
		broadcasts := uint64(0)
		if mode == config.Broadcast {
			broadcasts = 3
		}
		if s.Received != 11 || s.Broadcast != broadcasts || s.Applied != 1 || s.Duplicate != 1 || s.OutOfOrder != 1 || s.Log.Enabled ||
			s.LastReceived != instant(10).Wall {
			t.Errorf("%v: %+v", mode, s)
		}
	}
}

// The log has every applied state however many there are, in far more lines than its queue would hold.
func TestOfflineLogWaits(t *testing.T) {
	var log bytes.Buffer
	o := NewOffline(settings(t, nil), &log)
	const states = 100_000 // some 20 MB
	for i := range states {
		if _, err := o.Take(Arrival{At: instant(time.Duration(i) * time.Microsecond), Payload: []byte(datagram("a", int64(i)))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	s := o.Statistics()
	checkIdentity(t, s)
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != states || s.Log.Written != states || s.Log.Dropped() != 0 || int(s.Log.Bytes) != log.Len() {
		t.Errorf("%d lines of %d states: %+v", n, states, s.Log)
	}
	if first, want := string(log.Bytes()[:bytes.IndexByte(log.Bytes(), '\n')]), `{"timestamp": 1755532567.000000, "state": `+datagram("a", 0)+"}"; first != want {
		t.Errorf("first line %s, want %s", first, want)
	}
}

type failing struct{}

var errNoSpace = errors.New("no space")

func (failing) Write([]byte) (int, error) { return 0, errNoSpace }

// A log that cannot be written ends the run: nothing is left out of it in silence.
func TestOfflineLogFails(t *testing.T) {
	o := NewOffline(settings(t, nil), failing{})
	var err error
	taken := 0
	for ; err == nil && taken < 1000; taken++ {
		_, err = o.Take(Arrival{At: instant(0), Payload: []byte(datagram("a", int64(taken)))})
	}
	if err != errNoSpace || o.Flush() != errNoSpace {
		t.Errorf("%d taken, error %v", taken, err)
	}
	s := o.Statistics()
	if checkIdentity(t, s); s.Log.Queued != uint64(taken) {
		t.Errorf("%d taken: %+v", taken, s)
	}
}

// A silence of centuries is one sweep.
func TestOfflineLongSilence(t *testing.T) {
	o := NewOffline(settings(t, nil), nil)
	o.Take(Arrival{At: instant(0), Payload: []byte(datagram("a", 1))})
	o.Advance(state.Instant{Mono: 1<<63 - 1, Wall: 1<<63 - 1})
	if s := o.Statistics(); s.Removed != 1 || s.Engines != [state.Statuses]int{} {
		t.Errorf("%+v", s)
	}
}

func TestOfflineDoesNotAllocate(t *testing.T) {
	var log bytes.Buffer
	o := NewOffline(settings(t, nil), &log)
	agent := traffic.NewAgent("http://172.17.0.3:8000", 1)
	var payload []byte
	now := time.Duration(0)
	step := func() {
		now += time.Millisecond
		s := agent.Next(time.Unix(0, instant(now).Wall))
		payload = s.AppendJSON(payload[:0])
		if log.Len() > 1<<20 {
			log.Reset()
		}
		if _, err := o.Take(Arrival{At: instant(now), Payload: payload, Source: one}); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 { // the buffer's and the queue's sizes
		step()
	}
	if got := testing.AllocsPerRun(1000, step); got != 0 {
		t.Errorf("%v allocations a datagram", got)
	}
}
