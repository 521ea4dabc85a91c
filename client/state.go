package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is what an engine last sent of itself, as the gateway serves it: the protocol's eight fields. docs/semantics.md
// says what a router may make of them.
type State struct {
	EngineID           string  `json:"engine_id"`
	TimestampMs        int64   `json:"timestamp_ms"`          // Unix ms, the engine's clock
	LatencyPredMs      float64 `json:"latency_pred_ms"`       // of the next scheduling step, ms
	SchedulingMode     string  `json:"scheduling_mode"`       //
	PendingTokensTotal int64   `json:"pending_tokens_total"`  // tokens in the queue
	KVCacheFreeBlocks  int64   `json:"kv_cache_free_blocks"`  // -1 = unknown
	KVCacheTotalBlocks int64   `json:"kv_cache_total_blocks"` // -1 = unknown
	EngineCapacity     float64 `json:"engine_capacity"`       // tokens/s
}

// Status says how far a state can be trusted.
type Status string

// The statuses. A Watcher knows Stale by itself; the others are the gateway's word.
const (
	Initializing Status = "initializing" // only init states and heartbeats so far
	Fresh        Status = "fresh"        // heard of recently
	Idle         Status = "idle"         // alive, with nothing to do
	Stale        Status = "stale"        // silent for longer than StaleAfter
)

// Engine is all that a gateway tells of an engine. Pointers are nil where nothing is known.
type Engine struct {
	State
	Status          Status   `json:"status"`
	ReceivedAtMs    int64    `json:"received_at_ms"`    // arrival at the gateway, Unix ms of its clock
	LoadTimestampMs *int64   `json:"load_timestamp_ms"` // of the last real state
	LastHeartbeatMs *int64   `json:"last_heartbeat_ms"` // arrival
	ClockSkewMs     int64    `json:"clock_skew_ms"`     // > 0: the engine's clock is behind the gateway's
	PushIntervalMs  *float64 `json:"push_interval_ms"`  // observed
	SourceAddr      *string  `json:"source_addr"`
	Conflict        bool     `json:"conflict"` // several senders use this engine_id

	Heard      time.Time     `json:"-"` // when the gateway last heard of the engine, on this process's monotonic clock
	StaleAfter time.Duration `json:"-"` // silence after which it is stale
}

// Age returns how long ago the gateway last heard of the engine, as far as is known here.
func (e *Engine) Age(now time.Time) time.Duration { return max(now.Sub(e.Heard), 0) }

func (e *Engine) staleAt() time.Time { return e.Heard.Add(e.StaleAfter) }

func (e *Engine) stale(now time.Time) bool { return now.After(e.staleAt()) }

// known reports whether the gateway has had a real state of the engine: its capacity is not a heartbeat's 0.
func (e *Engine) known() bool { return e.LoadTimestampMs != nil }

// clone returns a copy that shares nothing with e.
func (e *Engine) clone() Engine {
	c := *e
	c.LoadTimestampMs = clone(e.LoadTimestampMs)
	c.LastHeartbeatMs = clone(e.LastHeartbeatMs)
	c.PushIntervalMs = clone(e.PushIntervalMs)
	c.SourceAddr = clone(e.SourceAddr)
	return c
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// told is an engine object on the wire.
type told struct {
	Engine
	AgeMs        *float64 `json:"age_ms"`
	StaleAfterMs *float64 `json:"stale_after_ms"`
}

// message is the data of any event: what an event does not have is nil.
type message struct {
	ServerTimeMs *int64           `json:"server_time_ms"`
	States       map[string]*told `json:"states"`
	EngineIDs    []string         `json:"engine_ids"`
	Detail       string           `json:"detail"`
}

// longestMs is a longer time than any setting allows, in ms. Beyond it a Duration would overflow.
const longestMs = 1e12

// parse reads the data of an event that came at the given moment.
func parse(data string, at time.Time) (m message, err error) {
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return m, fmt.Errorf("an event is not understood: %w", err)
	}
	for id, t := range m.States {
		switch {
		case t == nil || t.AgeMs == nil || t.StaleAfterMs == nil:
			return m, errors.New("an event lacks the ages of its engines")
		case t.EngineID != id:
			return m, errors.New("an event has an engine under another one's name")
		case *t.AgeMs > longestMs || *t.StaleAfterMs > longestMs || *t.StaleAfterMs < 0:
			return m, errors.New("an event has ages that cannot be")
		}
		// A gateway that goes by the engines' clocks may find a state younger than new; here it would outlive that.
		t.Heard = at.Add(-milliseconds(max(*t.AgeMs, 0)))
		t.StaleAfter = milliseconds(*t.StaleAfterMs)
	}
	return m, nil
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
