package shard

import (
	"math"
	"net/netip"
	"strings"
	"sync/atomic"

	"encoding/binary"

	"github.com/elrar/state-gateway/state"
)

// stateWords are the eight fields but for the engine_id, as atomic words. Most of them do not change from one state to
// the next, and a load is several times cheaper than an atomic store: set stores only what differs.
type stateWords struct {
	timestamp, latency, pending, kvFree, kvTotal, capacity atomic.Uint64
	mode                                                   atomic.Pointer[string]
}

func (w *stateWords) store(s *state.State, mode *string) {
	set(&w.timestamp, uint64(s.TimestampMs))
	set(&w.latency, math.Float64bits(s.LatencyPredMs))
	set(&w.pending, uint64(s.PendingTokensTotal))
	set(&w.kvFree, uint64(s.KVCacheFreeBlocks))
	set(&w.kvTotal, uint64(s.KVCacheTotalBlocks))
	set(&w.capacity, math.Float64bits(s.EngineCapacity))
	if w.mode.Load() != mode {
		w.mode.Store(mode)
	}
}

func (w *stateWords) load(s *state.State) {
	s.TimestampMs = int64(w.timestamp.Load())
	s.LatencyPredMs = math.Float64frombits(w.latency.Load())
	s.PendingTokensTotal = int64(w.pending.Load())
	s.KVCacheFreeBlocks = int64(w.kvFree.Load())
	s.KVCacheTotalBlocks = int64(w.kvTotal.Load())
	s.EngineCapacity = math.Float64frombits(w.capacity.Load())
	if mode := w.mode.Load(); mode != nil {
		s.SchedulingMode = *mode
	}
}

// heldWords are a state.Held but for Conflicted.
type heldWords struct {
	stateWords
	receivedMono, receivedWall        atomic.Uint64
	newestTimestamp                   atomic.Uint64
	loadTimestamp, heartbeatWall      atomic.Uint64
	skew                              atomic.Uint64
	sourceHigh, sourceLow, sourceRest atomic.Uint64 // sourceRest has markIdle, too
}

// markIdle is Idle, in a bit of sourceRest that packSource leaves alone.
const markIdle = 1 << 63

func (w *heldWords) store(h *state.Held, mode *string) {
	w.stateWords.store(&h.State, mode)
	set(&w.receivedMono, uint64(h.Received.Mono))
	set(&w.receivedWall, uint64(h.Received.Wall))
	set(&w.newestTimestamp, uint64(h.NewestTimestampMs))
	set(&w.loadTimestamp, uint64(h.LoadTimestampMs))
	set(&w.heartbeatWall, uint64(h.HeartbeatWall))
	set(&w.skew, uint64(h.ClockSkewMs))
	high, low, rest := packSource(h.Source)
	set(&w.sourceHigh, high)
	set(&w.sourceLow, low)
	if h.Idle {
		rest |= markIdle
	}
	set(&w.sourceRest, rest)
}

func (w *heldWords) load(h *state.Held) {
	w.stateWords.load(&h.State)
	h.Received.Mono = int64(w.receivedMono.Load())
	h.Received.Wall = int64(w.receivedWall.Load())
	h.NewestTimestampMs = int64(w.newestTimestamp.Load())
	rest := w.sourceRest.Load()
	h.Idle = rest&markIdle != 0
	h.LoadTimestampMs = int64(w.loadTimestamp.Load())
	h.HeartbeatWall = int64(w.heartbeatWall.Load())
	h.ClockSkewMs = int64(w.skew.Load())
	h.Source = unpackSource(w.sourceHigh.Load(), w.sourceLow.Load(), rest)
}

// recordWords are a state.Record: one cache line, so that 100 states of 10,000 engines take 64 MB.
type recordWords struct {
	stateWords
	receivedWall atomic.Uint64
}

func (w *recordWords) store(s *state.State, mode *string, receivedWall int64) {
	w.stateWords.store(s, mode)
	set(&w.receivedWall, uint64(receivedWall))
}

func (w *recordWords) load(r *state.Record) {
	w.stateWords.load(&r.State)
	r.ReceivedWall = int64(w.receivedWall.Load())
}

func set(w *atomic.Uint64, v uint64) {
	if w.Load() != v {
		w.Store(v)
	}
}

// packSource makes three words of an address: the 16 bytes of an IPv6 address or the 4 of an IPv4 one, and the port with
// a mark for IPv4 and one for "valid".
const (
	sourceIPv4  = 1 << 16
	sourceValid = 1 << 17
)

func packSource(a netip.AddrPort) (high, low, rest uint64) {
	switch {
	case !a.IsValid():
		return 0, 0, 0
	case a.Addr().Is4():
		b := a.Addr().As4()
		return 0, uint64(binary.BigEndian.Uint32(b[:])), sourceValid | sourceIPv4 | uint64(a.Port())
	default:
		b := a.Addr().As16()
		return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), sourceValid | uint64(a.Port())
	}
}

func unpackSource(high, low, rest uint64) netip.AddrPort {
	switch {
	case rest&sourceValid == 0:
		return netip.AddrPort{}
	case rest&sourceIPv4 != 0:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(low))
		return netip.AddrPortFrom(netip.AddrFrom4(b), uint16(rest))
	default:
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], high)
		binary.BigEndian.PutUint64(b[8:], low)
		return netip.AddrPortFrom(netip.AddrFrom16(b), uint16(rest))
	}
}

// usualModes are the modes that today's agents send.
var usualModes = [...]string{"latency_optimized", "throughput_optimized", "balanced"}

// internMode returns a pointer to a lasting copy of mode: held if that is the same, a usual one, or a new one.
func internMode(held *string, mode string) *string {
	if held != nil && *held == mode {
		return held
	}
	for i := range usualModes {
		if usualModes[i] == mode {
			return &usualModes[i]
		}
	}
	lasting := strings.Clone(mode)
	return &lasting
}
