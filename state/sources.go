package state

import (
	"net/netip"
	"time"
)

// sourceTrail recognises two senders of one engine_id: two source addresses that alternate at least three times in ten
// seconds. A sender that was restarted changes its address once.
type sourceTrail struct {
	newest, other netip.AddrPort
	changes       [conflictChanges]int64 // of late, between these two; monotonic ns, the newest last
	n             int
}

const (
	conflictChanges = 3
	conflictWindow  = int64(10 * time.Second)
)

// alternate notes that a state came from source at the moment now, and reports whether the address has changed and that
// is a conflict.
func (t *sourceTrail) alternate(source netip.AddrPort, now int64) bool {
	if source == t.newest {
		return false
	}
	if source != t.other {
		t.n = 0 // a third address: a new pair
	}
	t.newest, t.other = source, t.newest
	if t.n == conflictChanges {
		copy(t.changes[:], t.changes[1:])
		t.n--
	}
	t.changes[t.n] = now
	t.n++
	return t.n == conflictChanges && now-t.changes[0] <= conflictWindow
}
