package engine

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// Waits follow from the stamps, and a step of the wall clock makes them wrong by itself at most.
func TestQueueClock(t *testing.T) {
	const ms = time.Millisecond
	type read struct {
		after  time.Duration   // since the read before, on the monotonic clock
		step   time.Duration   // of the wall clock, before the read and after the arrivals
		ago    []time.Duration // of the arrivals
		waited []time.Duration
	}
	for name, reads := range map[string][]read{
		"each on its own": {
			{0, 0, []time.Duration{300 * ms, 200 * ms, 0}, []time.Duration{300 * ms, 200 * ms, 0}},
			{time.Second, 0, []time.Duration{900 * ms, 1 * ms}, []time.Duration{900 * ms, 1 * ms}},
		},
		"older than the process":         {{0, 0, []time.Duration{time.Hour}, []time.Duration{time.Hour}}},
		"not before the one before":      {{0, 0, []time.Duration{100 * ms, 150 * ms, 50 * ms}, []time.Duration{100 * ms, 100 * ms, 50 * ms}}},
		"not before the batch before":    {{0, 0, []time.Duration{10 * ms}, []time.Duration{10 * ms}}, {100 * ms, 0, []time.Duration{500 * ms}, []time.Duration{110 * ms}}},
		"the clock was set back":         {{0, -time.Hour, []time.Duration{500 * ms}, []time.Duration{0}}},
		"the clock was set back a bit":   {{0, -100 * ms, []time.Duration{500 * ms}, []time.Duration{400 * ms}}},
		"the clock was set on":           {{0, 0, []time.Duration{0}, []time.Duration{0}}, {100 * ms, time.Hour, []time.Duration{50 * ms}, []time.Duration{100 * ms}}},
		"the clock was set on a bit":     {{0, 0, []time.Duration{0}, []time.Duration{0}}, {time.Second, 100 * ms, []time.Duration{50 * ms}, []time.Duration{150 * ms}}},
		"a batch after a clock set back": {{0, -time.Hour, []time.Duration{500 * ms}, []time.Duration{0}}, {200 * ms, 0, []time.Duration{70 * ms}, []time.Duration{70 * ms}}},
	} {
		origin := time.Now()
		c := newQueueClock(origin)
		mono, wall := time.Duration(0), origin.UnixNano()
		for i, r := range reads {
			mono += r.after
			wall += int64(r.after)
			arrivals := make([]int64, len(r.ago))
			for k, ago := range r.ago {
				arrivals[k] = wall - int64(ago)
			}
			wall += int64(r.step)
			c.mono, c.wall = int64(mono), wall
			var waited []time.Duration
			for _, at := range arrivals {
				waited = append(waited, c.waited(at))
			}
			if !slices.Equal(waited, r.waited) {
				t.Errorf("%s: read %d: waited %v, want %v", name, i, waited, r.waited)
			}
		}
	}
	c := newQueueClock(time.Now())
	c.read(time.Now())
	if d := c.waited(0); d != 0 {
		t.Errorf("without a stamp: %v", d)
	}
}

// read takes both clocks from one time.
func TestQueueClockRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newQueueClock(time.Now())
		time.Sleep(time.Second)
		now := time.Now()
		c.read(now)
		if c.mono != int64(time.Second) || c.wall != now.UnixNano() {
			t.Errorf("%+v at %v", c, now)
		}
	})
}

// arrivals keeps when datagrams arrived.
type arrivals struct {
	recorder
	at []time.Time
}

func (a *arrivals) HandleBatch(b *Batch) {
	for i := range b.Len() {
		a.at = append(a.at, b.Read.Add(-b.Waited(i)))
	}
	a.recorder.HandleBatch(b)
}

// What waits because nobody reads keeps its own arrival, each datagram of a batch.
func TestArrivalsOfABatch(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells arrivals")
	}
	e, err := Listen(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	warmUpStamps(t, e)
	c := dial(t, "127.0.0.1", e.Address().Port())
	const pause = mmsg.AwayLimit + 20*time.Millisecond
	var before, after []time.Time
	for i := range 3 {
		before = append(before, time.Now())
		send(t, c, fmt.Sprint(i))
		after = append(after, time.Now())
		time.Sleep(pause)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // run only drains
	a := &arrivals{}
	if err := e.Run(ctx, func(int) Handler { return a }); err != nil {
		t.Fatal(err)
	}
	if len(a.at) != 3 {
		t.Fatalf("%d handed over", len(a.at))
	}
	for i, at := range a.at {
		const tolerance = pause / 3 // the two clocks are read one after the other
		if at.Before(before[i].Add(-tolerance)) || at.After(after[i].Add(tolerance)) {
			t.Errorf("datagram %d arrived %v after it was sent", i, at.Sub(before[i]))
		}
	}
	if last := time.Unix(0, e.Counters().LastReceived); last.Sub(a.at[2]).Abs() > time.Microsecond {
		t.Errorf("last received %v after the last arrival", last.Sub(a.at[2]))
	}
}

// warmUpStamps returns when the kernel stamps what arrives at a socket that nobody reads otherwise: it begins a moment after
// the first read.
func warmUpStamps(t *testing.T, e *Engine) {
	t.Helper()
	c := dial(t, "127.0.0.1", e.Address().Port())
	r := e.readers[0]
	arrival := func() time.Time {
		send(t, c, "x")
		time.Sleep(mmsg.AwayLimit + 10*time.Millisecond)
		if n, err := r.recv.Receive(true); n != 1 || err != nil {
			t.Fatalf("%d received: %v", n, err)
		}
		return time.Unix(0, r.recv.Arrival(0))
	}
	arrival() // from now on the socket itself asks for stamps, not just another one of the host
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		sent := time.Now()
		if arrival().Before(sent.Add(mmsg.AwayLimit / 2)) {
			return
		}
	}
	t.Fatal("the kernel does not stamp arrivals")
}

// Unicast and broadcast datagrams are counted each for themselves: in no reading is one of them less than in the one
// before, or more than there can have been.
func TestDestinationsAreCountedApart(t *testing.T) {
	e, err := Listen(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const batches = 20_000
	script := make([]any, batches)
	for i := range script {
		script[i] = 3
	}
	fake := (&fakeReceiver{script: script, ended: make(chan struct{}), broadcast: true}).arm(e.readers[0])
	r := e.readers[0]
	r.recv, r.batch.from, r.broadcast = fake, fake, true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, func(int) Handler { return &sink{} }) }()
	var last Counters
	for last.Received < 3*batches {
		now := e.Counters()
		if now.Unicast != 0 || now.Broadcast < last.Broadcast || now.Broadcast > 3*batches {
			t.Fatalf("%+v after %+v", now, last)
		}
		last = now
		runtime.Gosched()
	}
	cancel()
	close(fake.ended)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c := e.Counters(); c.Received != c.Unicast+c.Broadcast {
		t.Errorf("%+v", c)
	}
}
