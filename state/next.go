package state

import (
	"net/netip"
	"time"
)

// Outcome is what became of a valid state: exactly one of Applied, Duplicate, OutOfOrder and Refused, and marks.
type Outcome uint8

// The outcomes, and the marks that come with them.
const (
	Applied    Outcome = 1 << iota // it is now the newest of its engine
	Duplicate                      // it is held already
	OutOfOrder                     // it is older than what is held
	Refused                        // its engine is new, and the table is full

	ClockReset  // with Applied: it is older, but its sender's clock was set back
	Heartbeat   // with Applied: it is a heartbeat or an init state
	NewConflict // with any: it shows that several senders use one engine_id
	Initialized // with Applied and Heartbeat: the engine was not held before
)

// Memory is what the rules remember of an engine beside what is held. First makes it. A usual state touches nothing of
// what is behind the pointer.
type Memory struct {
	loadReceived int64 // arrival of the newest real state, monotonic ns
	heartbeat    bool  // the newest applied state is a heartbeat
	astray       bool  // the newest state came from another source than the newest applied one
	run          int8  // states of older that count
	skew         skewWindow
	*details
}

// details are what is seldom looked at.
type details struct {
	spans   skewSpans
	older   [2]State // the run of older states, without engine_id
	sources sourceTrail
}

// First makes h and m what is held and remembered of an engine after its first state.
func (h *Held) First(m *Memory, in *State, source netip.AddrPort, at Instant, r *Rules) Outcome {
	*h = Held{NewestTimestampMs: -1, LoadTimestampMs: NoLoad, Conflicted: NoConflict}
	*m = Memory{details: &details{}, skew: skewWindow{end: noSpan}}
	m.sources.newest, h.Source = source, source
	outcome := h.Next(m, in, source, at, r)
	if outcome&Heartbeat != 0 {
		outcome |= Initialized
	}
	return outcome
}

// Next makes h and m what is held and remembered after in arrived from source, and returns what became of in. Unless
// it was applied, h is unchanged but for Conflicted. EngineID is not looked at.
func (h *Held) Next(m *Memory, in *State, source netip.AddrPort, at Instant, r *Rules) Outcome {
	var marks Outcome
	if (source != h.Source || m.astray) && r.WatchSources {
		if m.sources.changed(source, at.Mono) {
			if !h.Conflict(at) {
				marks |= NewConflict
			}
			h.Conflicted = at.Mono
		}
		m.astray = source != h.Source
	}
	heartbeat := r.HeartbeatMerge && in.IsHeartbeat()
	switch {
	case in.TimestampMs > h.NewestTimestampMs:
	case in.TimestampMs == h.NewestTimestampMs:
		// What the newest was is known without a copy of it: a heartbeat has only one content, and a real state is
		// served as it came.
		if heartbeat || !m.heartbeat && in.sameContent(&h.State) {
			return Duplicate | marks
		}
	case h.Silence(at) > h.StaleAfter(r), m.thirdOlder(in, heartbeat):
		marks |= ClockReset
	default:
		return OutOfOrder | marks
	}
	m.run, m.astray = 0, false
	h.Received, h.Source = at, source
	h.NewestTimestampMs, m.heartbeat = in.TimestampMs, heartbeat
	h.ClockSkewMs = m.addSkew(at.Wall/int64(time.Millisecond)-in.TimestampMs, at.Mono)
	if heartbeat {
		h.beat(in, at, at.Mono-m.loadReceived <= int64(r.StaleThreshold/2))
		return Applied | Heartbeat | marks
	}
	h.State = *in
	h.Idle = false
	h.LoadTimestampMs, m.loadReceived = in.TimestampMs, at.Mono
	return Applied | marks
}

// IsHeartbeat reports whether s has exactly the values of a heartbeat, which an agent's init state has too.
func (s *State) IsHeartbeat() bool {
	return s.EngineCapacity == 0 && s.LatencyPredMs == 0 && s.PendingTokensTotal == 0 &&
		s.KVCacheFreeBlocks == Unknown && s.KVCacheTotalBlocks == Unknown && s.SchedulingMode == "latency_optimized"
}

// beat lets an applied heartbeat show. While a real state is recent it shows nowhere: a router resets its own
// bookkeeping when the served timestamp changes, and a heartbeat brings no load to reset it by. Otherwise the engine
// turns idle, but keeps the capacity and the KV cache counts that it was last known to have.
func (h *Held) beat(in *State, at Instant, recentLoad bool) {
	h.HeartbeatWall = at.Wall
	switch {
	case h.LoadTimestampMs == NoLoad:
		h.State = *in
	case !recentLoad:
		h.Idle = true
		h.TimestampMs, h.LatencyPredMs, h.PendingTokensTotal = in.TimestampMs, 0, 0
	}
}

// sameContent compares all fields but the engine_id.
func (s *State) sameContent(other *State) bool {
	return s.TimestampMs == other.TimestampMs && s.LatencyPredMs == other.LatencyPredMs &&
		s.SchedulingMode == other.SchedulingMode && s.PendingTokensTotal == other.PendingTokensTotal &&
		s.KVCacheFreeBlocks == other.KVCacheFreeBlocks && s.KVCacheTotalBlocks == other.KVCacheTotalBlocks &&
		s.EngineCapacity == other.EngineCapacity
}
