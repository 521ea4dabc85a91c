package engine

import (
	"sync/atomic"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// counters are one reader's, added to once a batch. The padding keeps them off the lines of other readers'.
type counters struct {
	_            [128]byte
	received     atomic.Uint64
	bytes        atomic.Uint64
	empty        atomic.Uint64
	tooLarge     atomic.Uint64
	unicast      atomic.Uint64
	broadcast    atomic.Uint64
	readErrors   atomic.Uint64
	lastReceived atomic.Uint64 // Unix ns
	_            [64]byte
}

// Counters are the sums over all readers since start. Each is counted for itself and only grows. While nothing arrives,
// Received = Unicast + Broadcast.
type Counters struct {
	Received     uint64 // datagrams read
	Bytes        uint64 // of their payloads, a truncated one's cut to Config.MaxDatagram
	Empty        uint64 // of Received: those of no bytes
	TooLarge     uint64 // of Received: those longer than Config.MaxDatagram
	Unicast      uint64 // of Received: those sent to this host alone; all of them unless Config.Broadcast
	Broadcast    uint64 // of Received: those sent to a broadcast address
	ReadErrors   uint64 // failed reads
	LastReceived int64  // Unix ns, arrival of the newest; 0 = none yet
}

// Counters returns the counters now. Batches that are being handled are not in them yet.
func (e *Engine) Counters() Counters {
	var sum Counters
	for _, r := range e.readers {
		c := &r.counters
		sum.Received += c.received.Load()
		sum.Bytes += c.bytes.Load()
		sum.Empty += c.empty.Load()
		sum.TooLarge += c.tooLarge.Load()
		sum.Unicast += c.unicast.Load()
		sum.Broadcast += c.broadcast.Load()
		sum.ReadErrors += c.readErrors.Load()
		sum.LastReceived = max(sum.LastReceived, int64(c.lastReceived.Load()))
	}
	return sum
}

// dropCounter makes a 64-bit counter of the kernel's 32-bit one.
type dropCounter struct {
	last  uint32
	total uint64
}

func (d *dropCounter) advance(now uint32) {
	d.total += uint64(now - d.last) // modulo 2^32: right across a wrap-around
	d.last = now
}

// KernelDrops returns, for each socket, the datagrams that the kernel dropped before a reader could read them. The
// kernel's own counter wraps around after 2^32 drops, more than an hour of them at a million a second: call this
// at least that often. After Close it returns the last values.
func (e *Engine) KernelDrops() []uint64 {
	e.dropsMu.Lock()
	defer e.dropsMu.Unlock()
	totals := make([]uint64, len(e.readers))
	for i, r := range e.readers {
		if now, err := mmsg.Drops(r.conn); err == nil {
			e.drops[i].advance(now)
		}
		totals[i] = e.drops[i].total
	}
	return totals
}
