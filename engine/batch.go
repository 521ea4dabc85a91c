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
}

// Batch is what one read brought, but for empty and truncated datagrams, which the reader has counted already.
type Batch struct {
	Reader   int       // which reader read it
	Received time.Time // when the read returned: the arrival of all its datagrams, on both clocks

	from  source
	index []int // positions in from
}

// Len returns the number of datagrams, ≥ 1.
func (b *Batch) Len() int { return len(b.index) }

// Payload returns the bytes of datagram i, 1 to Config.MaxDatagram. They are the reader's: see Handler.
func (b *Batch) Payload(i int) []byte { return b.from.Payload(b.index[i]) }

// Source returns the address that datagram i came from, an IPv4-mapped one as IPv4.
func (b *Batch) Source(i int) netip.AddrPort { return b.from.Source(b.index[i]) }
