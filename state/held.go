package state

import (
	"math"
	"net/netip"
	"time"
)

// Held is what the gateway holds of one engine: the state it serves, and what status and order go by.
type Held struct {
	State // the served values

	Received          Instant        // arrival of the newest applied state
	NewestTimestampMs int64          // timestamp_ms of the newest applied state, which order goes by
	Idle              bool           // the served values are those of an engine with nothing to do
	LoadTimestampMs   int64          // timestamp_ms of the newest real state; NoLoad if there was none
	HeartbeatWall     int64          // arrival of the newest heartbeat, Unix ns; 0 if there was none
	ClockSkewMs       int64          // smallest (arrival − timestamp_ms) of the last minute: > 0, the sender is behind
	Conflicted        int64          // when several senders were last found, monotonic ns; NoConflict if never
	Source            netip.AddrPort // sender of the newest applied state; IPv4-mapped addresses as IPv4
}

// Marks for what has not happened.
const (
	NoLoad     = -1       // of LoadTimestampMs
	NoConflict = -1 << 62 // of Conflicted: longer ago than any clock goes back
)

// Rules are the settings that the rules of this package go by.
type Rules struct {
	StaleThreshold time.Duration // silence after which a state is stale
	SenderClock    bool          // age by the states' timestamps, as the first gateway did
	HeartbeatMerge bool          // tell heartbeats from real states
	WatchSources   bool          // find several senders of one engine_id: not in broadcast mode, whose copies differ in source
}

// heartbeatSlack is the least silence after which an engine that sends heartbeats is stale: its agent beats only every
// 2 s, and a quarter of that is for delays.
const heartbeatSlack = 2500 * time.Millisecond

// Status says how far an engine's state can be trusted now.
type Status uint8

// The statuses.
const (
	Initializing Status = iota // only init states and heartbeats so far
	Fresh                      // heard of recently
	Idle                       // alive, with nothing to do
	Stale                      // silent for longer than its StaleAfter
	statusEnd
)

// Statuses is the number of Status values.
const Statuses = int(statusEnd)

var statusNames = [Statuses]string{"initializing", "fresh", "idle", "stale"}

// String returns the status's name in answers and metrics.
func (s Status) String() string { return statusNames[s] }

// Age returns how old the engine's newest applied state is: the time since its arrival, never negative; or, with
// SenderClock, the difference of the wall clock to its timestamp, which may be.
func (h *Held) Age(now Instant, r *Rules) time.Duration {
	if r.SenderClock {
		sent := min(h.NewestTimestampMs, math.MaxInt64/int64(time.Millisecond)) // a sender may claim any year
		return time.Duration(now.Wall - sent*int64(time.Millisecond))
	}
	return h.Silence(now)
}

// Silence returns how long ago the engine's newest applied state arrived; never negative. No wall clock changes it.
func (h *Held) Silence(now Instant) time.Duration {
	return time.Duration(max(now.Mono-h.Received.Mono, 0))
}

// StaleAfter returns the age above which the engine is stale.
func (h *Held) StaleAfter(r *Rules) time.Duration {
	if h.HeartbeatWall != 0 {
		return max(r.StaleThreshold, heartbeatSlack)
	}
	return r.StaleThreshold
}

// Status returns the engine's status at the moment now.
func (h *Held) Status(now Instant, r *Rules) Status {
	switch {
	case h.Age(now, r) > h.StaleAfter(r):
		return Stale
	case h.LoadTimestampMs == NoLoad:
		return Initializing
	case h.Idle:
		return Idle
	default:
		return Fresh
	}
}

// conflictShown is how long after several senders were last found an engine is shown as in conflict.
const conflictShown = time.Minute

// Conflict reports whether several senders have used the engine's id lately.
func (h *Held) Conflict(now Instant) bool { return now.Mono-h.Conflicted <= int64(conflictShown) }
