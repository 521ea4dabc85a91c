package gateway

import (
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/engine"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// pipeline takes one reader's datagrams from bytes to table and log. It is an engine.Handler: one goroutine, no waits,
// no allocations for a valid datagram of a known engine.
type pipeline struct {
	origin   time.Time // of the monotonic instants
	decoder  *decode.Decoder
	table    *shard.Table
	log      *journal.Appender // nil: no log
	notices  *notices          // nil: nobody is told of what is rejected
	counters pipelineCounters

	// The batch at hand.
	read    state.Instant // when it was read
	at      state.Instant // arrival of the datagram at hand, ≤ read
	state   state.State   // scratch
	applied uint64
}

// pipelineCounters are one reader's. What is usual, applied, is added to once a batch; the others at each datagram. The
// padding keeps them off the lines of other readers'.
type pipelineCounters struct {
	_        [128]byte
	applied  atomic.Uint64
	rejected [state.Reasons]atomic.Uint64

	outcomes [8]atomic.Uint64 // by the bit of state.Outcome; not used for Applied and Refused, which are counted above
	_        [128]byte
}

// of returns the counter of an outcome or mark.
func (c *pipelineCounters) of(outcome state.Outcome) *atomic.Uint64 {
	return &c.outcomes[bits.TrailingZeros8(uint8(outcome))]
}

// HandleBatch implements engine.Handler.
func (p *pipeline) HandleBatch(b *engine.Batch) {
	p.begin(b.Read)
	for i := range b.Len() {
		p.waited(b.Waited(i))
		p.handle(b.Payload(i), b.Source(i))
	}
	p.commit()
}

// HandleMisfit implements engine.Handler: the packet engine counts what is empty or too large, and here it is noticed.
func (p *pipeline) HandleMisfit(read time.Time, source netip.AddrPort, payload []byte) {
	reason := state.TooLarge
	if len(payload) == 0 {
		reason = state.Empty
	}
	p.notices.rejected(int64(read.Sub(p.origin)), source, reason, payload)
}

// begin starts a batch of datagrams that was read at one time, at which they also arrived unless waited says otherwise.
func (p *pipeline) begin(read time.Time) {
	p.beginAt(state.Instant{Mono: int64(read.Sub(p.origin)), Wall: read.UnixNano()})
}

// beginAt is begin for a read on clocks that are not this host's.
func (p *pipeline) beginAt(read state.Instant) {
	p.read, p.at = read, read
	if p.log != nil {
		p.log.Begin(read.Wall)
	}
}

// waited says that the next datagrams arrived that long before they were read.
func (p *pipeline) waited(d time.Duration) {
	p.at = state.Instant{Mono: p.read.Mono - int64(d), Wall: p.read.Wall - int64(d)}
}

// handle takes one datagram through, and returns what became of its state, or 0 if it holds none. It keeps nothing of
// payload.
func (p *pipeline) handle(payload []byte, source netip.AddrPort) state.Outcome {
	if reason := p.decoder.Decode(payload, &p.state); reason != state.Accepted {
		p.reject(payload, source, reason)
		return 0
	}
	outcome := p.table.Apply(&p.state, source, p.at)
	if outcome&state.Applied != 0 {
		p.applied++
		if p.log != nil {
			p.log.Append(p.at.Wall, &p.state, p.decoder.Verbatim())
		}
	}
	if outcome != state.Applied {
		p.special(outcome, payload, source)
	}
	return outcome
}

// special counts what is not simply a newer state. Not inlined: the usual path stays small.
//
//go:noinline
func (p *pipeline) special(outcome state.Outcome, payload []byte, source netip.AddrPort) {
	for marks := outcome &^ (state.Applied | state.Refused); marks != 0; marks &= marks - 1 {
		p.counters.of(marks).Add(1) // of the lowest of them
	}
	if outcome&state.Refused != 0 {
		p.reject(payload, source, state.EngineLimit)
	}
}

// commit ends the batch: its lines go to the writer and its counts to the counters.
func (p *pipeline) commit() {
	if p.log != nil {
		p.log.Commit()
	}
	p.counters.applied.Add(p.applied)
	p.applied = 0
}

// reject counts a datagram and notices it. Not inlined: the usual path stays small.
//
//go:noinline
func (p *pipeline) reject(payload []byte, source netip.AddrPort, reason state.Reason) {
	p.counters.rejected[reason].Add(1)
	if p.notices != nil {
		p.notices.rejected(p.read.Mono, source, reason, payload)
	}
}
