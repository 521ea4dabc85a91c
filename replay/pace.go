package replay

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Pace says how fast captured time passes.
type Pace struct {
	Speed float64 // seconds of captured time in one second; 0 = as fast as possible
	Rate  float64 // most datagrams/s, over the whole run; 0 = no limit
}

// mostDue is how many datagrams are handed out at once: enough to fill system calls with those that are due together,
// and few enough to be sent within a millisecond.
const mostDue = 256

// Pacer hands out the datagrams of a stream when they are due, which is reckoned from the first one and never from the
// one before: no delay adds to another, and after a stall what is overdue comes at once.
//
// A pause in the captured time is a pause of the run. With a Rate, what comes too fast waits, and the schedule is caught
// up with at that rate as soon as the capture allows.
//
// Next and Lateness are for one goroutine; the rest may be called at any time.
type Pacer struct {
	pace  Pace
	ahead *ahead
	timer *time.Timer

	began    bool
	start    time.Time // when the first datagram was there
	first    time.Time // its captured time
	slot     float64   // ns since start: the earliest that the next datagram may be due by the rate
	batch    []Datagram
	lent     []*owned        // of batch
	due      []time.Duration // since start, of batch
	pending  *owned          // read, and due later
	when     time.Duration   // it is due, since start
	lateness Lateness
	captured atomic.Int64 // ns
	handed   atomic.Uint64
}

// NewPacer begins to read src, whose times must not go back, in a goroutine of its own; see Ended.
func NewPacer(ctx context.Context, src Source, pace Pace) *Pacer {
	return &Pacer{pace: pace, ahead: start(ctx, src), timer: time.NewTimer(0)}
}

// Next waits until a datagram is due and returns all that are, in order: at least one, at most 256, valid until the next
// call, which also says that they have been dealt with. At the end of the stream the error is io.EOF, or what Next of
// the Source said; when ctx is done, its cause.
func (p *Pacer) Next(ctx context.Context) ([]Datagram, error) {
	p.settle()
	if ctx.Err() != nil { // which counts for more than the end: not all may have been sent
		return nil, context.Cause(ctx)
	}
	if p.pending == nil {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case o, ok := <-p.ahead.ready:
			if !ok {
				return nil, p.ahead.err
			}
			p.plan(o)
		}
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	now := time.Since(p.start)
	for p.pending != nil && p.when <= now && len(p.batch) < mostDue {
		p.lent = append(p.lent, p.pending)
		p.batch = append(p.batch, p.pending.Datagram)
		p.due = append(p.due, p.when)
		p.pending = nil
		select {
		case o, ok := <-p.ahead.ready:
			if ok {
				p.plan(o)
			}
		default: // the reader is behind: what is here goes now
		}
	}
	p.captured.Store(int64(p.batch[len(p.batch)-1].Time.Sub(p.first)))
	p.handed.Add(uint64(len(p.batch)))
	return p.batch, nil
}

// settle takes the last batch back and notes how late it was.
func (p *Pacer) settle() {
	if len(p.batch) == 0 {
		return
	}
	now := time.Since(p.start)
	for i, o := range p.lent {
		if p.pace != (Pace{}) {
			p.lateness.Add(now - p.due[i])
		}
		p.ahead.free <- o
	}
	p.batch, p.lent, p.due = p.batch[:0], p.lent[:0], p.due[:0]
}

// plan makes a datagram the next one, and reckons when it is due.
func (p *Pacer) plan(o *owned) {
	if !p.began {
		p.began, p.start, p.first = true, time.Now(), o.Time
	}
	due := 0.0
	if p.pace.Speed > 0 {
		// Exact up to 2^53 ns of captured time, 104 days; and then to a few ns.
		due = float64(o.Time.Sub(p.first)) / p.pace.Speed
	}
	if p.pace.Rate > 0 {
		due = max(due, p.slot)
		p.slot = due + float64(time.Second)/p.pace.Rate
	}
	p.pending = o
	p.when = time.Duration(min(due, math.MaxInt64/2)) // 146 years
}

// wait waits until the next datagram is due.
func (p *Pacer) wait(ctx context.Context) error {
	left := p.when - time.Since(p.start)
	if left <= 0 {
		return nil
	}
	p.timer.Reset(left)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.timer.C:
		return nil
	}
}

// Lateness returns how long after it was due each datagram that Next returned had been dealt with. It is empty when
// nothing was due at any time: without a Speed and a Rate.
func (p *Pacer) Lateness() *Lateness {
	p.settle()
	return &p.lateness
}

// Captured returns how much captured time lies between the first datagram and the last one that Next returned.
func (p *Pacer) Captured() time.Duration { return time.Duration(p.captured.Load()) }

// Handed returns how many datagrams Next has returned, and how many of the stream were read for it.
func (p *Pacer) Handed() (handed, read uint64) {
	handed = p.handed.Load() // first: it is never more than what was read
	return handed, p.ahead.count.Load()
}

// Ended is closed when the source is read no more: at its end, and after ctx is done as soon as its last Next returns.
func (p *Pacer) Ended() <-chan struct{} { return p.ahead.done }
