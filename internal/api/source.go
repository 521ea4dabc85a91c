package api

import (
	"time"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// Table is what the engines are read from. Its methods are called from many goroutines at once, while states arrive.
type Table interface {
	// Range calls yield for each engine held, at most once for each and in no particular order, until yield returns
	// false. What is yielded is never torn. The pointer is valid during the call only; what it points to may be
	// copied, and the strings in it stay valid.
	Range(yield func(*state.Held) bool)
	// Follow returns a function that finds what has changed since its last call, at its first call everything. It calls
	// changed for each engine that a state was applied to, with what is held now, and removed for each that has gone;
	// an engine that went and came back is among the changed only. The pointer is valid during the call only. One
	// goroutine at a time may call it.
	Follow() func(changed func(*state.Held), removed func(engineID string))
	// Get returns what is held of one engine.
	Get(engineID string) (held state.Held, ok bool)
	// History returns the newest states applied to one engine, oldest first, at most limit of them. Limit is at least
	// 1 and may be far larger than what is kept. The records are the caller's.
	History(engineID string, limit int) (records []state.Record, ok bool)
	// PushInterval returns the observed time between one engine's real states; ok is false if it is not known.
	PushInterval(engineID string) (interval time.Duration, ok bool)
}

// Gateway is the running gateway. Its methods are called from many goroutines at once and return promptly.
type Gateway interface {
	// Now returns the present moment on the clocks that the states' arrivals are taken from.
	Now() state.Instant
	// Statistics returns the counters; the slices in it are the caller's.
	Statistics() gateway.Statistics
	// Ready returns nil when every living engine has been heard, else why that cannot be said.
	Ready() error
	// Degraded returns why states are missing from the state log at present, or "".
	Degraded() string
	// Live returns nil unless the gateway has become deaf, else why.
	Live() error
}

// Info is what does not change while the gateway runs.
type Info struct {
	NetworkMode   string        // as configured: unicast or broadcast
	BindAddress   string        // as configured, or a passed socket's
	UDPPort       int           // the port that is bound
	Rules         state.Rules   // by which status and age are told
	EngineMetrics bool          // /metrics shows each engine
	Memory        int64         // bytes that Go may take; 0 or math.MaxInt64 = no limit
	Started       state.Instant // on the clocks of Gateway.Now
	Version       string        // of the program
	Revision      string        // of its source; empty if not known

	MessagesDropped func() uint64 // messages of the program that nobody read; nil: there is no such series
}
