package state

// Limits of the fields, from the protocol.
const (
	MaxEngineIDLength = 256     // bytes of UTF-8
	MaxModeLength     = 64      // bytes of UTF-8
	MaxInteger        = 1 << 53 // the largest integer that every JSON reader keeps exactly
	Unknown           = -1      // a KV cache count that the engine does not know
)

// State is the state of one LLM engine as one datagram carries it: the eight fields, in the order of the wire.
type State struct {
	EngineID           string  // 1–256 bytes, no control characters; normally the engine's URL
	TimestampMs        int64   // Unix ms on the sender's clock, 0 … 2^53
	LatencyPredMs      float64 // predicted latency of the next scheduling step, ms, ≥ 0, finite
	SchedulingMode     string  // 1–64 bytes, no control characters, kept as sent
	PendingTokensTotal int64   // tokens, 0 … 2^53
	KVCacheFreeBlocks  int64   // blocks, -1 (unknown) … 2^53
	KVCacheTotalBlocks int64   // blocks, -1 (unknown) … 2^53
	EngineCapacity     float64 // tokens/s, ≥ 0, finite
}

// Record is a state as it was applied, with its arrival: an entry of an engine's history.
type Record struct {
	State
	ReceivedWall int64 // Unix ns, when the datagram's batch was read
}

// Instant is one moment on both clocks. Ages and removal go by Mono; Wall is only shown.
type Instant struct {
	Mono int64 // ns on the monotonic clock, since an origin that the process chose; negative before it
	Wall int64 // Unix ns
}
