package state_test

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/elrar/state-gateway/state"
)

// oracle says of one engine what section 3 of the protocol says, in its words and order. It keeps everything that ever
// arrived and computes each answer from that, anew and without a thought for the cost.
type oracle struct {
	rules    state.Rules
	arrivals []arrival
}

type arrival struct {
	state.State
	source  netip.AddrPort
	at      state.Instant
	outcome state.Outcome
}

func (o *oracle) applied() (list []arrival) {
	for _, a := range o.arrivals {
		if a.outcome&state.Applied != 0 {
			list = append(list, a)
		}
	}
	return list
}

// split divides the applied ones into real states and heartbeats.
func (o *oracle) split() (reals, heartbeats []arrival) {
	for _, a := range o.applied() {
		if o.isHeartbeat(a.State) {
			heartbeats = append(heartbeats, a)
		} else {
			reals = append(reals, a)
		}
	}
	return reals, heartbeats
}

func (o *oracle) isHeartbeat(s state.State) bool {
	signature := state.State{EngineID: s.EngineID, TimestampMs: s.TimestampMs, LatencyPredMs: 0, SchedulingMode: "latency_optimized",
		PendingTokensTotal: 0, KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1, EngineCapacity: 0}
	return o.rules.HeartbeatMerge && s == signature
}

// duplicates reports whether b is a duplicate of a.
func (o *oracle) duplicates(a, b state.State) bool {
	a.EngineID, b.EngineID = "", ""
	ofItsMillisecond := a.TimestampMs == b.TimestampMs && o.isHeartbeat(b) && !o.isHeartbeat(a)
	return a == b || ofItsMillisecond
}

// outcomeOf says what must become of in.
func (o *oracle) outcomeOf(in state.State, source netip.AddrPort, at state.Instant) state.Outcome {
	outcome := o.order(in, at)
	if outcome&state.Applied != 0 && o.isHeartbeat(in) {
		outcome |= state.Heartbeat
		if len(o.arrivals) == 0 {
			outcome |= state.Initialized
		}
	}
	before := o.conflicts(o.arrivals)
	now := o.conflicts(append(slices.Clone(o.arrivals), arrival{source: source, at: at}))
	if len(now) > len(before) && (len(before) == 0 || at.Mono-before[len(before)-1] > int64(time.Minute)) {
		outcome |= state.NewConflict
	}
	return outcome
}

func (o *oracle) order(in state.State, at state.Instant) state.Outcome {
	applied := o.applied()
	if len(applied) == 0 {
		return state.Applied
	}
	newest := applied[len(applied)-1]
	switch {
	case in.TimestampMs > newest.TimestampMs:
		return state.Applied
	case in.TimestampMs == newest.TimestampMs && o.duplicates(newest.State, in):
		return state.Duplicate
	case in.TimestampMs == newest.TimestampMs:
		return state.Applied
	case at.Mono-newest.at.Mono > int64(o.staleAfter()):
		return state.Applied | state.ClockReset
	}
	// Is it the third of a run of older states, with nothing applied in between?
	var older []state.State
	for _, a := range o.arrivals {
		switch {
		case a.outcome&state.Applied != 0:
			older = nil
		case a.outcome&state.OutOfOrder != 0:
			older = append(older, a.State)
		}
	}
	var run []state.State
	counted := false
	for _, s := range append(older, in) {
		if slices.ContainsFunc(run, func(of state.State) bool { return o.duplicates(of, s) }) {
			counted = false
			continue
		}
		if len(run) > 0 && s.TimestampMs <= run[len(run)-1].TimestampMs {
			run = nil
		}
		run = append(run, s)
		counted = true
	}
	if counted && len(run) == 3 {
		return state.Applied | state.ClockReset
	}
	return state.OutOfOrder
}

// conflicts returns when it was seen that the address had changed four times within 10 s.
func (o *oracle) conflicts(arrivals []arrival) (moments []int64) {
	if !o.rules.WatchSources {
		return nil
	}
	var changes []int64
	for i := 1; i < len(arrivals); i++ {
		if arrivals[i-1].source != arrivals[i].source {
			changes = append(changes, arrivals[i].at.Mono)
		}
	}
	for i := 3; i < len(changes); i++ {
		if changes[i]-changes[i-3] <= int64(10*time.Second) {
			moments = append(moments, changes[i])
		}
	}
	return moments
}

func (o *oracle) staleAfter() time.Duration {
	if _, heartbeats := o.split(); len(heartbeats) > 0 {
		return max(o.rules.StaleThreshold, 2500*time.Millisecond)
	}
	return o.rules.StaleThreshold
}

// served returns the values that are served, and whether the engine is idle.
func (o *oracle) served() (s state.State, idle bool) {
	reals, heartbeats := o.split()
	applied := o.applied()
	newest := applied[len(applied)-1]
	if len(reals) == 0 {
		return heartbeats[len(heartbeats)-1].State, false
	}
	last := reals[len(reals)-1]
	withinHalf := newest.at.Mono-last.at.Mono <= int64(o.rules.StaleThreshold/2)
	if !o.isHeartbeat(newest.State) || withinHalf {
		return last.State, false
	}
	s = last.State
	s.LatencyPredMs, s.PendingTokensTotal, s.TimestampMs = 0, 0, newest.TimestampMs
	return s, true
}

// held returns everything that is held but for the skew.
func (o *oracle) held() state.Held {
	reals, heartbeats := o.split()
	applied := o.applied()
	newest := applied[len(applied)-1]
	h := state.Held{
		Received: newest.at, NewestTimestampMs: newest.TimestampMs, Source: newest.source,
		LoadTimestampMs: state.NoLoad, Conflicted: state.NoConflict,
	}
	h.State, h.Idle = o.served()
	if len(reals) > 0 {
		h.LoadTimestampMs = reals[len(reals)-1].TimestampMs
	}
	if len(heartbeats) > 0 {
		h.HeartbeatWall = heartbeats[len(heartbeats)-1].at.Wall
	}
	if conflicts := o.conflicts(o.arrivals); len(conflicts) > 0 {
		h.Conflicted = conflicts[len(conflicts)-1]
	}
	return h
}

// skew returns the smallest (arrival wall time − timestamp) of the time before the newest applied state.
func (o *oracle) skew(window time.Duration) int64 {
	applied := o.applied()
	newest := applied[len(applied)-1].at.Mono
	smallest := int64(math.MaxInt64)
	for _, a := range applied {
		if newest-a.at.Mono <= int64(window) {
			smallest = min(smallest, a.at.Wall/int64(time.Millisecond)-a.TimestampMs)
		}
	}
	return smallest
}

func (o *oracle) age(now state.Instant) time.Duration {
	applied := o.applied()
	newest := applied[len(applied)-1]
	if o.rules.SenderClock {
		return time.Duration(now.Wall) - time.Duration(newest.TimestampMs)*time.Millisecond
	}
	return time.Duration(now.Mono - newest.at.Mono)
}

func (o *oracle) status(now state.Instant) state.Status {
	reals, _ := o.split()
	_, idle := o.served()
	switch {
	case o.age(now) > o.staleAfter():
		return state.Stale
	case len(reals) == 0:
		return state.Initializing
	case idle:
		return state.Idle
	default:
		return state.Fresh
	}
}
