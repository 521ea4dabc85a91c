//go:build linux && !portable

package mmsg

import "time"

// presence tells whether a reader has been away from its socket: waiting for a datagram, busy, without a processor, or
// stopped. It belongs to the reader's goroutine.
type presence struct {
	looked time.Time // when it last looked into its socket
	behind bool      // what it has read last had waited for longer than AwayLimit
}

// look notes that the reader is about to look into its socket, and reports whether what it finds there may have waited for
// longer than AwayLimit.
func (p *presence) look() (away bool) {
	now := time.Now()
	away = p.behind || now.Sub(p.looked) > AwayLimit
	p.looked = now
	return away
}

// readAt returns the time of the read that followed the last look: now, unless the reader was stopped in between. What it
// holds then had arrived before, or while it was stopped.
func (p *presence) readAt() time.Time {
	now, latest := time.Now(), p.looked.Add(AwayLimit)
	if now.After(latest) {
		return latest
	}
	return now
}

// caughtUp notes the arrival of the last datagram of a batch that was read at a time; 0 = not told.
func (p *presence) caughtUp(arrival int64, read time.Time) {
	p.behind = arrival != 0 && read.UnixNano()-arrival > int64(AwayLimit)
}
