package state

import (
	"slices"
	"time"
)

// IntervalRecords is how many of an engine's newest records PushInterval looks at.
const IntervalRecords = 9

// PushInterval returns the observed time between an engine's real states, from its newest records, oldest first: the
// median of the times between their arrivals, which a lost datagram, a late one or a step of the clock does not move;
// of two middle ones the smaller, since losses only lengthen. ok is false with fewer than two real states.
func PushInterval(records []Record, r *Rules) (interval time.Duration, ok bool) {
	gaps := make([]time.Duration, 0, IntervalRecords)
	var last *Record
	for i := max(0, len(records)-IntervalRecords); i < len(records); i++ {
		if r.HeartbeatMerge && records[i].IsHeartbeat() {
			continue
		}
		if last != nil && records[i].ReceivedWall >= last.ReceivedWall { // else the clock was set back between them
			gaps = append(gaps, time.Duration(records[i].ReceivedWall-last.ReceivedWall))
		}
		last = &records[i]
	}
	if len(gaps) == 0 {
		return 0, false
	}
	slices.Sort(gaps)
	return gaps[(len(gaps)-1)/2], true
}
