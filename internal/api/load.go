package api

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// maxHeld is how many bytes of answers may wait for their readers at once. A thousand engines are about 300 KB in
// /v1/engine-states: some 100 readers may stall on that until the write timeout, or the next reader, cuts them off.
const maxHeld = 32 << 20

// patience is how long an answer may wait for its reader when another one needs its room: far longer than a reader
// takes that reads.
const patience = time.Second

// load bounds what one kind of readers of the answers that grow with the number of engines can cost the rest of the
// process.
//
// Rendering is work for a processor and never waits, so a few turns are enough for everybody; they leave processors to
// those who receive datagrams, however many clients ask at once. Sending waits for the reader, so it takes no turn,
// but its bytes are counted.
type load struct {
	turns chan struct{} // of all kinds together

	mu      sync.Mutex
	held    int        // bytes
	waiting []*holding // the oldest first
}

// holding is an answer that waits for its reader.
type holding struct {
	bytes  int
	since  time.Time
	cutOff func()
}

// newTurns returns the turns of all loads of the process.
func newTurns() chan struct{} { return make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)) }

// begin waits for a turn to render; false means that ctx ended first. After true, end must be called.
func (l *load) begin(ctx context.Context) bool {
	select {
	case l.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *load) end() { <-l.turns }

// hold counts an answer as waiting for its reader, and cuts off those that have tried its patience if they are in the way.
// nil means that there are too many others; an answer on its own may be of any size. release must be called when the
// reader has taken it or was cut off.
func (l *load) hold(bytes int, cutOff func()) *holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for l.held+bytes > maxHeld && len(l.waiting) > 0 && now.Sub(l.waiting[0].since) > patience {
		stalled := l.waiting[0]
		l.forget(stalled)
		stalled.cutOff()
	}
	if l.held+bytes > maxHeld && len(l.waiting) > 0 {
		return nil
	}
	h := &holding{bytes: bytes, since: now, cutOff: cutOff}
	l.held += bytes
	l.waiting = append(l.waiting, h)
	return h
}

func (l *load) release(h *holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(h)
}

// forget takes a holding out of the account, if it is still in it. The caller has the lock.
func (l *load) forget(h *holding) {
	if i := slices.Index(l.waiting, h); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.held -= h.bytes
	}
}
