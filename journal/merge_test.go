package journal

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestOrderOfArrival commits to several appenders what arrived at random times: the file is in order of arrival.
func TestOrderOfArrival(t *testing.T) {
	const appenders = 4
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 3))
		h := newHarness(t, appenders)
		var next [appenders]int
		total := 0
		order := []int{} // sender of each line
		at := arrival
		for range 400 {
			at = at.Add(time.Duration(1 + random.IntN(1000)))
			i, n := random.IntN(appenders), random.IntN(30)
			h.put(i, at, next[i], next[i]+n)
			next[i] += n
			total += n
			for range n {
				order = append(order, i)
			}
			if random.IntN(100) == 0 {
				h.drain()
			}
		}
		h.drain()
		lines := h.lines()
		by := h.numbers(lines)
		for i, n := range next {
			if len(by[i]) != n {
				t.Fatalf("seed %d: %d lines of appender %d, want %d", seed, len(by[i]), i, n)
			}
		}
		for k, line := range lines {
			if sender, _, _ := parse(line); sender != order[k] {
				t.Fatalf("seed %d: line %d of %d is of appender %d, want %d", seed, k, total, sender, order[k])
			}
		}
		h.account(uint64(total), h.content())
	}
}

// TestSenderChangesSocket: an engine's states come now by one reader, now by another, while the writer is at work.
// None is written before one that was committed before it.
func TestSenderChangesSocket(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8)) // more threads than processors: the writer is interrupted anywhere
	const appenders = 4
	commits := 150_000
	if raceEnabled {
		commits = 30_000
	}
	h := newHarness(t, appenders)
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		for {
			select {
			case <-done:
				h.drain()
				return
			default:
				h.drain()
			}
		}
	})
	random := rand.New(rand.NewPCG(1, 4))
	for n := range commits {
		s, text := numbered(0, n)
		a := h.Appender(random.IntN(appenders))
		at := arrival.UnixNano() + int64(n)
		a.Begin(at)
		a.Append(at, &s, text)
		a.Commit()
	}
	close(done)
	writer.Wait()
	c := h.account(uint64(commits), h.content())
	if c.Queued != 0 {
		t.Errorf("lines were lost: %+v", c)
	}
	if n := len(h.numbers(h.lines())[0]); uint64(n) != c.Written { // numbers checks their order
		t.Errorf("%d lines, %+v", n, c)
	}
}
