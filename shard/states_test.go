package shard

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/elrar/state-gateway/state"
)

// numbered returns a state of an engine that is derived from one number, with where and when it came from. What is
// read of two such states is recognised by inconsistent.
func numbered(engineID string, n int64) (state.State, netip.AddrPort, state.Instant) {
	modes := [...]string{"latency_optimized", "throughput_optimized", "balanced", "odd", fmt.Sprint("mode ", n%3)}
	s := state.State{
		EngineID:           engineID,
		TimestampMs:        n,
		LatencyPredMs:      float64(n) + 0.25,
		SchedulingMode:     modes[n%int64(len(modes))],
		PendingTokensTotal: 3 * n,
		KVCacheFreeBlocks:  n - 1,
		KVCacheTotalBlocks: 5 * n,
		EngineCapacity:     1 / float64(n+1),
	}
	var ip [16]byte
	binary.BigEndian.PutUint64(ip[8:], uint64(n))
	ip[0] = 0xfd
	source := netip.AddrPortFrom(netip.AddrFrom16(ip), uint16(n))
	if n%2 == 0 {
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), uint16(n))
	}
	return s, source, state.Instant{Mono: n, Wall: -n}
}

// inconsistent returns what is wrong with h as something held of a numbered state, or "".
func inconsistent(h *state.Held) string {
	n := h.TimestampMs
	s, source, at := numbered(h.EngineID, n)
	if h.State != s || h.Source != source || h.Received != at || h.NewestTimestampMs != n || h.LoadTimestampMs != n || h.HeartbeatWall != 0 || h.Idle {
		return fmt.Sprintf("torn: %+v is not of %d", h, n)
	}
	return ""
}

// inconsistentRecords returns what is wrong with the history of numbered states of one engine, in which numbers grow,
// or "".
func inconsistentRecords(engineID string, records []state.Record) string {
	last := int64(-1)
	for i := range records {
		r := &records[i]
		s, _, at := numbered(engineID, r.TimestampMs)
		if r.State != s || r.ReceivedWall != at.Wall {
			return fmt.Sprintf("torn: record %+v is not of %d", r, r.TimestampMs)
		}
		if r.TimestampMs <= last {
			return fmt.Sprintf("record of %d after that of %d", r.TimestampMs, last)
		}
		last = r.TimestampMs
	}
	return ""
}

// anyOrder are rules under which an engine is always stale: whatever is not a duplicate is applied, older or newer.
var anyOrder = state.Rules{StaleThreshold: -1}

// apply applies a numbered state.
func apply(t *Table, engineID string, n int64) state.Outcome {
	s, source, at := numbered(engineID, n)
	return t.Apply(&s, source, at)
}

// mustApply applies a numbered state that must be applied.
func mustApply(t *testing.T, table *Table, engineID string, n int64) {
	t.Helper()
	if outcome := apply(table, engineID, n); outcome&^state.ClockReset != state.Applied {
		t.Fatalf("%s, state %d: outcome %d", engineID, n, outcome)
	}
}

func heartbeat(engineID string, timestamp int64) state.State {
	return state.State{
		EngineID: engineID, TimestampMs: timestamp, SchedulingMode: "latency_optimized",
		KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.Unknown,
	}
}

// randomState returns a state with nothing in common with any other, and the extremes of each field now and then.
func randomState(random *rand.Rand, engineID string, timestamp int64) (state.State, netip.AddrPort, state.Instant) {
	integer := func(least int64) int64 {
		switch random.IntN(4) {
		case 0:
			return least
		case 1:
			return state.MaxInteger
		}
		return random.Int64N(state.MaxInteger)
	}
	number := func() float64 {
		for {
			if f := math.Float64frombits(random.Uint64() >> 1); !math.IsNaN(f) && !math.IsInf(f, 0) {
				return f
			}
		}
	}
	s := state.State{
		EngineID:           engineID,
		TimestampMs:        timestamp,
		LatencyPredMs:      number(),
		SchedulingMode:     []string{"latency_optimized", "throughput_optimized", "balanced", "m", fmt.Sprint(random.IntN(5))}[random.IntN(5)],
		PendingTokensTotal: integer(0),
		KVCacheFreeBlocks:  integer(state.Unknown),
		KVCacheTotalBlocks: integer(state.Unknown),
		EngineCapacity:     number(),
	}
	if random.IntN(5) == 0 {
		s = heartbeat(engineID, timestamp)
	}
	source := netip.AddrPort{}
	switch random.IntN(3) {
	case 0:
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(256))}), uint16(random.IntN(1<<16)))
	case 1:
		source = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(random.IntN(256))}), uint16(random.IntN(1<<16)))
	}
	return s, source, state.Instant{Mono: random.Int64(), Wall: random.Int64()}
}
