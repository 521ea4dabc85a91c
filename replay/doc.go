// Package replay reads captured traffic and runs it again: state logs, pcap and pcapng files become datagrams in captured
// time, which pass through changes (more engines, new timestamps, damage) to a socket in real time, or to the gateway's
// pipeline without one.
package replay

import (
	"net/netip"
	"time"
)

// Datagram is one captured datagram.
type Datagram struct {
	Time        time.Time      // when it was captured
	Payload     []byte         // the UDP payload as it was sent; belongs to the Source, until its next Next
	Source      netip.AddrPort // zero if the capture does not say, as a state log does not
	Destination netip.AddrPort // zero if the capture does not say

	// shift is by how much changes have moved Time from when the datagram was captured; Retime moves timestamp_ms with it.
	shift time.Duration
}

// Source is a stream of captured datagrams, for one goroutine. Readers are Sources, and so is each change made to one.
type Source interface {
	// Next returns the next datagram. At the end the error is io.EOF; any other one says why the capture breaks off here,
	// and what came before it stands.
	Next() (Datagram, error)
}
