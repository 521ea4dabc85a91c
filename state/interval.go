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

// GapRecords is how many of an engine's newest records LongestGap looks at: more than 5 s of them at a state every 100 ms
// and a heartbeat every 2 s.
const GapRecords = 64

// LongestGap returns the longest time that passed between two neighbouring real states of an engine with work, from its
// newest records, oldest first; 0 if there is none. With work means that tokens were waiting when the gap began, and that
// not more than one heartbeat came in it: agents beat every 2 s, and an engine at which two have come was at rest for
// longer than a scheduling step lasts.
//
// A step of this host's clock or of the sender's makes no gap, as the smaller of arrival's and timestamp's difference
// counts.
func LongestGap(records []Record, r *Rules) (longest time.Duration) {
	var last *Record
	beats := 0
	for i := max(0, len(records)-GapRecords); i < len(records); i++ {
		now := &records[i]
		if r.HeartbeatMerge && now.IsHeartbeat() {
			beats++
			continue
		}
		if last != nil && last.PendingTokensTotal > 0 && beats <= 1 {
			sent := min(now.TimestampMs-last.TimestampMs, int64(time.Hour/time.Millisecond)) // a sender may claim any year
			longest = max(longest, min(time.Duration(now.ReceivedWall-last.ReceivedWall), time.Duration(sent)*time.Millisecond))
		}
		last, beats = now, 0
	}
	return longest
}
