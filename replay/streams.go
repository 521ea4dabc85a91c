package replay

import (
	"github.com/cespare/xxhash/v2"
)

// Streams tells the streams of a capture apart: what one engine sent, in order. It is for one goroutine.
type Streams struct {
	fields fields
}

// Of returns a number that is the same for all states of one engine, whatever addresses they came from, and for all
// datagrams from one address that are no states; others have, but for chance, other numbers.
func (s *Streams) Of(d Datagram) uint64 {
	if s.fields.isState(d.Payload) {
		return xxhash.Sum64String(s.fields.state.EngineID)
	}
	var address [18]byte
	ip := d.Source.Addr().As16()
	copy(address[:], ip[:])
	address[16], address[17] = byte(d.Source.Port()>>8), byte(d.Source.Port())
	return xxhash.Sum64(address[:])
}
