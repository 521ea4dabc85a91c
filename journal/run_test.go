package journal

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// start runs the writer. The returned function stops it and returns its error.
func (h *harness) start() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// later lets so much of a synctest bubble's time pass, and everything be done that is due by then.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// run lets so many lines arrive, ten at a time and in the order of their numbers, in a synctest bubble.
func (h *harness) run(total *int, lines int) {
	for end := *total + lines; *total < end; *total += 10 {
		h.put(0, arrival.Add(time.Duration(*total)), *total, *total+10)
		later(flushInterval)
	}
}

func TestFlushInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2)
		stop := h.start()
		h.put(0, arrival, 0, 3)
		h.put(1, arrival.Add(1), 0, 1)
		later(flushInterval)
		if c := h.account(4, h.content()); c.Written != 4 || c.Queued != 0 {
			t.Errorf("after one interval: %+v", c)
		}
		later(time.Hour)
		h.put(0, arrival.Add(2), 3, 4)
		later(flushInterval)
		if c := h.account(5, h.content()); c.Written != 5 {
			t.Errorf("after an idle hour: %+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.numbers(h.lines())
	})
}

// TestFullSegmentWakesTheWriter: a flood does not wait for the tick.
func TestFullSegmentWakesTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		synctest.Wait()
		h.put(0, arrival, 0, 1000) // no time passes
		synctest.Wait()
		if c := h.Counters(); c.Written == 0 {
			t.Errorf("%+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestStopDrains: what was committed when Run is told to stop is in the file when it returns, and the file is closed.
func TestStopDrains(t *testing.T) {
	const each = 20_000
	h := newHarness(t, 3)
	stop := h.start()
	for n := 0; n < each; n += 100 {
		for i := range 3 {
			h.put(i, arrival.Add(time.Duration(n)), n, n+100)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if c := h.account(3*each, h.content()); c.Written != 3*each || c.Errors != [Ops]uint64{} {
		t.Errorf("%+v", c)
	}
	for i, numbers := range h.numbers(h.lines()) {
		if len(numbers) != each {
			t.Errorf("%d lines of appender %d", len(numbers), i)
		}
	}
	if h.file.open != nil || h.file.current.Load() != nil {
		t.Error("the file was not closed")
	}
	h.said("level=", 0)
}

// TestStopSaysWhatIsNotSafe: an error of the last sync is Run's.
func TestStopSaysWhatIsNotSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		synctest.Wait()
		h.put(0, arrival, 0, 3)
		later(flushInterval)
		h.file.open.Close()
		if err := stop(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("error %v", err)
		}
		if c := h.account(3, h.content()); c.Written != 3 || c.Unsynced != 3 {
			t.Errorf("%+v", c)
		}
	})
}

// TestAppends: what the file has from before stays.
func TestAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "states.jsonl")
	for run := range 3 {
		h := newHarnessAt(t, 1, path)
		stop := h.start()
		h.put(0, arrival, 10*run, 10*run+10)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(h.numbers(h.lines())[0]); n != 10*run+10 {
			t.Errorf("run %d: %d lines", run, n)
		}
	}
}

// TestFileAppearsLater: while the file cannot be opened, lines are dropped and counted; it is tried again by itself.
func TestFileAppearsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "not yet")
		h := newHarnessAt(t, 1, filepath.Join(dir, "states.jsonl"))
		stop := h.start()
		for n := range 30 { // 3 s: tried at once, after one second and after two
			h.put(0, arrival.Add(time.Duration(n)), n, n+1)
			later(checkInterval / 10)
		}
		if c := h.account(30, ""); c.DroppedError != 30 || c.Errors[OpOpen] < 3 || c.Errors[OpOpen] > 4 {
			t.Errorf("without a file: %+v", c)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Error(err)
		}
		later(checkInterval)
		h.put(0, arrival.Add(30), 30, 40)
		later(flushInterval)
		if c := h.account(40, h.content()); c.Written != 10 || c.Queued != 0 {
			t.Errorf("with a file: %+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if numbers := h.numbers(h.lines())[0]; numbers[0] != 30 || numbers[9] != 39 {
			t.Errorf("%v", numbers)
		}
		h.said("ERROR", 1)
		h.said("lost=30", 1)
	})
}

// said checks how often the journal's messages have a text.
func (h *harness) said(text string, times int) {
	h.t.Helper()
	if n := strings.Count(h.messages.String(), text); n != times {
		h.t.Errorf("%q was said %d times, want %d:\n%s", text, n, times, h.messages.String())
	}
}

// TestHammer has appenders, the writer and readers of the counters at work at once, with a queue so short that lines
// are dropped. Each line is in the file once or counted as dropped.
func TestHammer(t *testing.T) {
	const appenders = 4
	each := 40_000
	if raceEnabled {
		each = 5_000
	}
	for _, segments := range []int32{1, 2, 200} {
		h := newHarness(t, appenders)
		for i := range appenders {
			h.Appender(i).maxSegments = segments
		}
		stop := h.start()
		var appending, watching sync.WaitGroup
		for i := range appenders {
			appending.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 5))
				a := h.Appender(i)
				for n := 0; n < each; {
					at := time.Now().UnixNano()
					a.Begin(at)
					for range 1 + random.IntN(64) {
						if n == each {
							break
						}
						s, text := numbered(i, n)
						if n%3 == 0 {
							text = nil
						}
						a.Append(at, &s, text)
						n++
					}
					a.Commit()
					if most := a.segments.Load(); most > segments {
						t.Errorf("%d segments", most)
					}
				}
			})
		}
		done := make(chan struct{})
		watching.Go(func() {
			var before Counters
			for {
				c := h.Counters()
				if c.Written < before.Written || c.Bytes < before.Bytes || c.DroppedRing < before.DroppedRing ||
					c.Written+c.DroppedError+c.DroppedSpace+c.DroppedRing+c.Queued > uint64(appenders*each) {
					t.Errorf("%+v after %+v", c, before)
				}
				before = c
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
		appending.Wait()
		close(done)
		watching.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		c := h.account(uint64(appenders*each), h.content())
		if c.Queued != 0 || c.DroppedError != 0 || c.Errors != [Ops]uint64{} {
			t.Errorf("%+v", c)
		}
		total := 0
		for i, numbers := range h.numbers(h.lines()) { // in order, so each at most once
			total += len(numbers)
			if dropped := h.Appender(i).droppedAll.Load(); uint64(len(numbers))+dropped != uint64(each) {
				t.Errorf("appender %d: %d lines and %d dropped of %d", i, len(numbers), dropped, each)
			}
		}
		if uint64(total) != c.Written {
			t.Errorf("%d lines, %+v", total, c)
		}
	}
}

func TestAllocations(t *testing.T) {
	h := newHarness(t, 2)
	s, text := numbered(0, 0)
	at := arrival
	batch := func() {
		at = at.Add(time.Millisecond)
		for i := range 2 {
			a := h.Appender(i)
			a.Begin(at.UnixNano())
			for range 150 {
				a.Append(at.UnixNano(), &s, text)
				a.Append(at.UnixNano(), &s, nil)
			}
			a.Commit()
		}
		h.drain()
	}
	for range 2 * spareSegments {
		batch()
	}
	if n := testing.AllocsPerRun(200, batch); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
	if n := testing.AllocsPerRun(200, func() { h.Counters() }); n != 0 {
		t.Errorf("%v allocations to count", n)
	}
}
