package engine

import (
	"net/netip"
	"time"
)

// source is where a batch's bytes are: the last read of a receiver.
type source interface {
	Payload(i int) []byte
	Source(i int) netip.AddrPort
	Broadcast(i int) bool
	Arrival(i int) int64 // Unix ns by the wall clock then; 0 = not told
}

// Batch is what one read brought, but for empty and truncated datagrams, which the reader has counted already.
type Batch struct {
	Reader int       // which reader read it
	Read   time.Time // when the read returned, on both clocks

	from   source
	index  []int           // positions in from
	waited []time.Duration // parallel to index
}

// Len returns the number of datagrams, ≥ 1.
func (b *Batch) Len() int { return len(b.index) }

// Payload returns the bytes of datagram i, 1 to Config.MaxDatagram. They are the reader's: see Handler.
func (b *Batch) Payload(i int) []byte { return b.from.Payload(b.index[i]) }

// Waited returns how long before Read datagram i reached this host, ≥ 0: what it spent in the socket. Read less Waited
// never goes back within the batches of one reader. It is 0 for what cannot have waited for longer than mmsg.AwayLimit,
// and where the kernel does not tell.
func (b *Batch) Waited(i int) time.Duration { return b.waited[i] }

// Source returns the address that datagram i came from, an IPv4-mapped one as IPv4.
func (b *Batch) Source(i int) netip.AddrPort { return b.from.Source(b.index[i]) }
