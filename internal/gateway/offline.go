package gateway

import (
	"io"
	"net/netip"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// Offline is a gateway without sockets and without a clock: it is handed datagrams with the instants of their arrival,
// and time passes only when it is told so. What it holds, counts and logs depends on these and on its settings alone:
// each datagram is a batch of its own, the log is written by the caller's goroutine, which waits for it, and silent
// engines are removed at the same ticks of its clock as a running gateway's. Nobody is told of what is rejected, and no
// engine is commented on: that changes nothing in a running gateway either. For one goroutine.
type Offline struct {
	settings config.Settings
	rules    state.Rules
	table    *shard.Table
	pipeline *pipeline
	log      *journal.Writer // nil: no log
	now      state.Instant
	ticks    int64 // sweeps that are due by now
	unlogged int   // datagrams taken since the log was last written
	counted  Statistics
}

// logEvery is how many datagrams may pass before their lines are written: of the longest lines that is 128 KiB, and of
// usual ones a third of a segment.
const logEvery = 64

// NewOffline returns a gateway that writes its state log to log; nil is no log. Of the settings those count that say
// what datagrams mean and what is kept of them.
func NewOffline(settings config.Settings, log io.Writer) *Offline {
	o := &Offline{settings: settings, rules: rulesOf(settings), table: newTable(settings)}
	o.pipeline = &pipeline{decoder: decode.New(), table: o.table}
	if log != nil {
		o.log = journal.NewWriter(log)
		o.pipeline.log = o.log.Appender()
	}
	return o
}

// Arrival is a datagram that an Offline is handed.
type Arrival struct {
	At        state.Instant // Mono ≥ 0, and not before the one before
	Payload   []byte        // the caller's
	Source    netip.AddrPort
	Broadcast bool // it was sent to a broadcast address; of no account in unicast mode
}

// Take moves the time on to an arrival, and takes it through the pipeline. The error is the log's: nothing can be taken
// after it.
func (o *Offline) Take(in Arrival) (state.Outcome, error) {
	o.Advance(in.At)
	c := &o.counted
	c.Received++
	c.Bytes += uint64(min(len(in.Payload), o.settings.MaxDatagram))
	c.LastReceived = in.At.Wall
	if in.Broadcast && o.settings.NetworkMode == config.Broadcast {
		c.Broadcast++
	} else {
		c.Unicast++
	}
	switch { // the packet engine's share of the work
	case len(in.Payload) == 0:
		c.Rejected[state.Empty]++
		return 0, nil
	case len(in.Payload) > o.settings.MaxDatagram:
		c.Rejected[state.TooLarge]++
		return 0, nil
	}
	o.pipeline.beginAt(in.At)
	outcome := o.pipeline.handle(in.Payload, in.Source)
	o.pipeline.commit()
	if o.unlogged++; o.unlogged >= logEvery {
		return outcome, o.Flush()
	}
	return outcome, nil
}

// State returns what the last datagram said, if Take's outcome was not 0. It is valid until the next Take, and for as
// long as the caller leaves that datagram's bytes alone.
func (o *Offline) State() *state.State { return &o.pipeline.state }

// Advance moves the time on to now, and removes the engines that a gateway which began at Mono = 0 would have removed by
// then. Between two arrivals the last sweep alone removes what all of them would.
func (o *Offline) Advance(now state.Instant) {
	if ticks := now.Mono / int64(sweepInterval); ticks > o.ticks {
		o.ticks = ticks
		o.table.Sweep(state.Instant{Mono: ticks * int64(sweepInterval)}, o.settings.RemoveAfter)
	}
	o.now = now
}

// Flush writes the log out.
func (o *Offline) Flush() error {
	o.unlogged = 0
	if o.log == nil {
		return nil
	}
	return o.log.Flush()
}

// Table returns the table of the newest states.
func (o *Offline) Table() *shard.Table { return o.table }

// Rules returns the rules that statuses go by.
func (o *Offline) Rules() state.Rules { return o.rules }

// Now returns the instant to which the time has been moved.
func (o *Offline) Now() state.Instant { return o.now }

// Statistics returns the counters. There are no sockets in them.
func (o *Offline) Statistics() Statistics {
	s := o.counted
	s.add(&o.pipeline.counters)
	s.Removed, s.Replaced = o.table.Removed(), o.table.Replaced()
	s.census(o.table, o.now, &o.rules)
	if o.log != nil {
		c := o.log.Counters()
		s.Log = Log{Enabled: true, Written: c.Written, Bytes: c.Bytes, DroppedRing: c.DroppedRing, Queued: c.Queued}
	}
	return s
}
