package state

import (
	"net/netip"
	"time"
)

// sourceTrail recognises several senders of one engine_id, whatever their number: its states' source address changes
// conflictChanges times within conflictWindow. A sender that was restarted or moved changes its address once, and one
// restart after the other takes longer.
type sourceTrail struct {
	newest  netip.AddrPort
	changes [conflictChanges]int64 // the last ones, monotonic ns, as a ring
	next    int                    // place in the ring
	n       int                    // changes in the ring
}

const (
	conflictChanges = 4
	conflictWindow  = int64(10 * time.Second)
)

// changed notes that a state came from source at the moment now, and reports whether the address has changed and that
// is a conflict.
func (t *sourceTrail) changed(source netip.AddrPort, now int64) bool {
	if source == t.newest {
		return false
	}
	t.newest = source
	t.changes[t.next] = now
	t.next = (t.next + 1) % conflictChanges
	t.n = min(t.n+1, conflictChanges)
	return t.n == conflictChanges && now-t.changes[t.next] <= conflictWindow // the oldest is where the next one goes
}
