package gateway

import (
	"time"

	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// Statistics are the gateway's counters at one moment. All but the gauges named so only grow, and count since start.
//
// While nothing arrives, Received = Applied + Duplicate + OutOfOrder + Σ Rejected, and with the log on
// Applied = Log.Written + Log.Dropped() + Log.Queued; each is counted where it happens, none is derived from the others.
type Statistics struct {
	Received     uint64                // datagrams that reached the gateway
	Unicast      uint64                // of these, those sent to this host alone; all of them in unicast mode
	Broadcast    uint64                // of these, those sent to a broadcast address
	Bytes        uint64                // payload bytes received
	Applied      uint64                // states now the newest of their engine, or newest once
	Duplicate    uint64                // valid, but held already
	OutOfOrder   uint64                // valid, but older than what is held
	ClockReset   uint64                // of the applied, those that set an engine's time back
	Heartbeats   uint64                // of the applied, those that were heartbeats or init states
	Initialized  uint64                // engines that an init state made known
	Conflicts    uint64                // times that several senders were found to use one engine_id
	Removed      uint64                // engines removed after their silence
	Replaced     uint64                // engines that lost their place in a full table to a new one
	Rejected     [state.Reasons]uint64 // by reason; index state.Accepted is unused
	LastReceived int64                 // Unix ns of the newest datagram's arrival; 0 = never
	ReadErrors   uint64                // failed reads that the gateway recovered from or gave up on
	Engines      [state.Statuses]int   // gauge: engines held, by status
	Sockets      []Socket              // one a reader
	Intruders    int                   // gauge: sockets of other processes that share the UDP port
	Log          Log                   // all zero with the log off
}

// Socket is one UDP socket as the kernel sees it.
type Socket struct {
	KernelDropped uint64 // datagrams that the kernel dropped before the gateway could read them
	ReceiveBuffer int    // gauge: bytes asked for and granted, in the unit of the setting
}

// Log is the state log's account.
type Log struct {
	Enabled      bool
	Written      uint64        // lines in the file
	Bytes        uint64        // bytes in the file
	DroppedRing  uint64        // lines dropped because the writer was behind
	DroppedDisk  uint64        // lines dropped because the file did not take them
	DroppedSpace uint64        // lines dropped to keep space free on the disk
	Errors       uint64        // failed operations on the file
	ErrorsByOp   []OpErrors    // the same by operation: every one, 0 too
	Reopens      uint64        // times that the log went on in another file
	Torn         uint64        // torn last lines cut off
	Queued       uint64        // gauge: lines accepted and not yet written or dropped
	Trouble      string        // why lines are being dropped; "" while they are not
	Lag          time.Duration // gauge: age of the oldest of these
}

// OpErrors says how often an operation on the file of the state log failed.
type OpErrors struct {
	Op     string // open, write, …
	Errors uint64
}

// Dropped returns the lines that will never be in the file.
func (l *Log) Dropped() uint64 { return l.DroppedRing + l.DroppedDisk + l.DroppedSpace }

// Statistics returns the counters now. Batches that are being handled are not, or not wholly, in them yet.
func (g *Gateway) Statistics() Statistics {
	in := g.engine.Counters()
	s := Statistics{
		Received:     in.Received,
		Unicast:      in.Unicast,
		Broadcast:    in.Broadcast,
		Bytes:        in.Bytes,
		Removed:      g.table.Removed(),
		Replaced:     g.table.Replaced(),
		LastReceived: in.LastReceived,
		ReadErrors:   in.ReadErrors,
		Intruders:    int(g.intruders.Load()),
	}
	for _, p := range g.pipelines {
		s.add(&p.counters)
	}
	s.Rejected[state.Empty] += in.Empty
	s.Rejected[state.TooLarge] += in.TooLarge
	s.census(g.table, g.Now(), &g.rules)
	granted := g.engine.ReceiveBuffers()
	for i, drops := range g.engine.KernelDrops() {
		s.Sockets = append(s.Sockets, Socket{KernelDropped: drops, ReceiveBuffer: granted[i]})
	}
	if g.journal != nil {
		c := g.journal.Counters()
		s.Log = Log{Enabled: true, Written: c.Written, Bytes: c.Bytes, DroppedRing: c.DroppedRing, DroppedDisk: c.DroppedError,
			DroppedSpace: c.DroppedSpace, Reopens: c.Reopens, Torn: c.Torn, Queued: c.Queued, Lag: c.Lag, Trouble: g.journal.Trouble()}
		for op, n := range c.Errors {
			s.Log.Errors += n
			s.Log.ErrorsByOp = append(s.Log.ErrorsByOp, OpErrors{journal.Op(op).String(), n})
		}
	}
	return s
}

// add adds what one pipeline has counted.
func (s *Statistics) add(c *pipelineCounters) {
	s.Applied += c.applied.Load()
	s.Duplicate += c.of(state.Duplicate).Load()
	s.OutOfOrder += c.of(state.OutOfOrder).Load()
	s.ClockReset += c.of(state.ClockReset).Load()
	s.Heartbeats += c.of(state.Heartbeat).Load()
	s.Initialized += c.of(state.Initialized).Load()
	s.Conflicts += c.of(state.NewConflict).Load()
	for reason := range s.Rejected {
		s.Rejected[reason] += c.rejected[reason].Load()
	}
}

// census counts the engines by their status at the moment now.
func (s *Statistics) census(table *shard.Table, now state.Instant, rules *state.Rules) {
	table.Range(func(h *state.Held) bool {
		s.Engines[h.Status(now, rules)]++
		return true
	})
}
