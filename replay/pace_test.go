package replay

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

var one = []byte{1}

// generated is a Source of n datagrams, one every gap, at no cost.
type generated struct {
	n, next int
	gap     time.Duration
}

func (g *generated) Next() (Datagram, error) {
	if g.next == g.n {
		return Datagram{}, io.EOF
	}
	g.next++
	return Datagram{Time: epoch.Add(time.Duration(g.next-1) * g.gap), Payload: one}, nil
}

// Over hours the schedule holds to the nanosecond, whatever delays whoever sends, and nothing is early.
func TestPaceHoldsTheSchedule(t *testing.T) {
	for _, test := range []struct {
		name   string
		speed  float64
		gap    time.Duration
		n      int
		stalls bool
	}{
		{"20 engines at 5/s for 2 hours", 1, 10 * time.Millisecond, 720_000, false},
		{"with stalls", 1, 10 * time.Millisecond, 200_000, true},
		{"ten times as fast", 10, 10 * time.Millisecond, 100_000, true},
		{"a third as fast", 1. / 3, 7 * time.Millisecond, 100_000, true},
		{"a day, a datagram an hour", 1, time.Hour, 25, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPacer(t.Context(), &generated{n: test.n, gap: test.gap}, Pace{Speed: test.speed})
			begin, random := time.Now(), rand.New(rand.NewPCG(1, 1))
			free := time.Duration(0) // since begin, when the last batch had been dealt with
			worst := time.Duration(0)
			handed := 0
			for {
				batch, err := p.Next(t.Context())
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				now := time.Since(begin)
				for _, d := range batch {
					due := time.Duration(float64(d.Time.Sub(epoch)) / test.speed)
					if now < due || now > max(due, free) {
						t.Fatalf("%s: %v after the start, due %v, free since %v", test.name, now, due, free)
					}
				}
				handed += len(batch)
				if test.stalls && random.IntN(20) == 0 {
					time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
				}
				free = time.Since(begin)
				worst = max(worst, free-time.Duration(float64(batch[0].Time.Sub(epoch))/test.speed))
			}
			l := p.Lateness()
			if handed != test.n || l.Count() != uint64(test.n) || l.Max() != worst || test.stalls != (l.Max() > 0) || !test.stalls && l.Quantile(0.99) != 0 {
				t.Errorf("%s: handed out %d, late %d times, by at most %v instead of %v", test.name, handed, l.Count(), l.Max(), worst)
			}
			span := time.Duration(test.n-1) * test.gap
			if p.Captured() != span {
				t.Errorf("%s: %v of captured time, want %v", test.name, p.Captured(), span)
			}
			if took := time.Since(begin); !test.stalls && took != time.Duration(float64(span)/test.speed) {
				t.Errorf("%s: took %v", test.name, took)
			}
			if n, read := p.Handed(); n != read || n != uint64(test.n) {
				t.Errorf("%s: handed out %d of %d", test.name, n, read)
			}
			<-p.Ended()
		})
	}
}

// What is due together comes together.
func TestPaceBatches(t *testing.T) {
	const ms = time.Millisecond
	sizes := func(times []time.Duration, pace Pace, stall time.Duration) (sizes []int) {
		synctest.Test(t, func(t *testing.T) {
			p := NewPacer(t.Context(), after(times...), pace)
			synctest.Wait() // all is read
			for {
				batch, err := p.Next(t.Context())
				if err == io.EOF {
					return
				}
				sizes = append(sizes, len(batch))
				time.Sleep(stall)
			}
		})
		return sizes
	}
	equal(t, "1x", sizes([]time.Duration{0, 0, 0, ms, 2 * ms, 2 * ms}, Pace{Speed: 1}, 0), []int{3, 1, 2})
	equal(t, "after stalls", sizes([]time.Duration{0, ms, 2 * ms, 3 * ms, 4 * ms, 9 * ms}, Pace{Speed: 1}, 2500*time.Microsecond), []int{1, 2, 2, 1})
	equal(t, "max", sizes(make([]time.Duration, 600), Pace{}, ms), []int{256, 256, 88})
	equal(t, "a pause", sizes([]time.Duration{0, 24 * 365 * time.Hour}, Pace{Speed: 1}, 0), []int{1, 1})
}

func TestPaceRate(t *testing.T) {
	const ms = time.Millisecond
	at := func(times []time.Duration, pace Pace) (at []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			p := NewPacer(t.Context(), after(times...), pace)
			for {
				batch, err := p.Next(t.Context())
				if err == io.EOF {
					if p.Lateness().Count() != uint64(len(times)) || p.Lateness().Max() != 0 {
						t.Errorf("%+v: %d times late, by at most %v", pace, p.Lateness().Count(), p.Lateness().Max())
					}
					return
				}
				for range batch {
					at = append(at, time.Since(begin))
				}
			}
		})
		return at
	}
	burst := []time.Duration{0, 0, 0, 15 * ms, 100 * ms, 100 * ms}
	equal(t, "1x", at(burst, Pace{Speed: 1, Rate: 100}), []time.Duration{0, 10 * ms, 20 * ms, 30 * ms, 100 * ms, 110 * ms})
	equal(t, "max", at(burst, Pace{Rate: 100}), []time.Duration{0, 10 * ms, 20 * ms, 30 * ms, 40 * ms, 50 * ms})
	equal(t, "a limit that is not reached", at(burst[2:5], Pace{Speed: 1, Rate: 100}), []time.Duration{0, 15 * ms, 100 * ms})
}

func TestPaceEnds(t *testing.T) {
	broken := errors.New("broken")
	m := after(0, time.Second)
	m.err = broken
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(t.Context(), m, Pace{Speed: 1})
		for range 2 {
			if batch, err := p.Next(t.Context()); len(batch) != 1 || err != nil {
				t.Errorf("%v, %v", batch, err)
			}
		}
		if _, err := p.Next(t.Context()); err != broken {
			t.Errorf("a capture that breaks off: %v", err)
		}
	})

	stopped := errors.New("stopped")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := NewPacer(ctx, after(0, time.Hour), Pace{Speed: 1})
		if _, err := p.Next(ctx); err != nil {
			t.Error(err)
		}
		time.AfterFunc(time.Minute, func() { cancel(stopped) })
		begin := time.Now()
		if _, err := p.Next(ctx); err != stopped || time.Since(begin) != time.Minute {
			t.Errorf("stopped in a pause: %v after %v", err, time.Since(begin))
		}
		<-p.Ended()
	})

	// Stopped counts for more than the end: of what was handed out last, not all may have been sent.
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p := NewPacer(ctx, after(0), Pace{})
			if _, err := p.Next(ctx); err != nil {
				t.Error(err)
			}
			<-p.Ended()
			cancel(stopped)
			if _, err := p.Next(ctx); err != stopped {
				t.Errorf("stopped at the end: %v", err)
			}
		})
	}

	// A read that does not return keeps nobody.
	synctest.Test(t, func(t *testing.T) {
		r := blocked{make(chan struct{})}
		ctx, cancel := context.WithCancelCause(t.Context())
		p := NewPacer(ctx, r, Pace{Speed: 1})
		time.AfterFunc(time.Minute, func() { cancel(stopped) })
		if _, err := p.Next(ctx); err != stopped {
			t.Errorf("stopped in a read: %v", err)
		}
		select {
		case <-p.Ended():
			t.Error("ended in a read")
		default:
		}
		close(r.end)
		<-p.Ended()
	})
}

// blocked is a Source whose Next waits for end.
type blocked struct{ end chan struct{} }

func (b blocked) Next() (Datagram, error) {
	<-b.end
	return Datagram{}, io.EOF
}

// Pacing a datagram allocates nothing.
func TestPaceAllocations(t *testing.T) {
	p := NewPacer(t.Context(), &generated{n: 1 << 30, gap: time.Nanosecond}, Pace{Speed: 1e6})
	n := 0
	next := func() {
		batch, err := p.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(batch)
	}
	for n < 10_000 {
		next()
	}
	if allocations := testing.AllocsPerRun(1000, next); allocations != 0 {
		t.Errorf("%v allocations a batch", allocations)
	}
}
