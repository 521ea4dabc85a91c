package traffic

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/elrar/state-gateway/state"
)

// Agent emulates one LLM engine: a load that wanders, and the state that a vLLM engine under that load would report.
// When it reports is an Emulator's matter.
type Agent struct {
	id       string
	random   *rand.Rand
	load     float64 // 0 (idle) … 1 (saturated)
	target   float64 // where the load drifts to
	blocks   int64
	capacity float64
}

// NewAgent returns an agent with the given engine_id; the same seed makes the same life.
func NewAgent(engineID string, seed uint64) *Agent {
	r := rand.New(rand.NewPCG(seed, 0x656c726172))
	return &Agent{
		id: engineID, random: r, load: r.Float64(), target: r.Float64(),
		blocks: 4096 + r.Int64N(8192), capacity: 50_000 + 20_000*r.Float64(),
	}
}

// Next returns the agent's state at the moment now, one step after the last one.
func (a *Agent) Next(now time.Time) state.State {
	if a.random.IntN(40) == 0 { // a new phase of the day's work every few seconds
		a.target = a.random.Float64()
	}
	a.load = min(max(a.load+0.1*(a.target-a.load)+0.05*a.random.NormFloat64(), 0), 1)
	mode := "latency_optimized"
	switch {
	case a.load > 0.8:
		mode = "throughput_optimized"
	case a.load > 0.5:
		mode = "balanced"
	}
	used := min(0.05+0.9*a.load+0.02*a.random.Float64(), 1)
	return state.State{
		EngineID:           a.id,
		TimestampMs:        now.UnixMilli(),
		LatencyPredMs:      8 + 40*a.load*a.load + a.random.Float64(),
		SchedulingMode:     mode,
		PendingTokensTotal: int64(math.Round(20_000 * max(a.load-0.3, 0))),
		KVCacheFreeBlocks:  int64(float64(a.blocks) * (1 - used)),
		KVCacheTotalBlocks: a.blocks,
		EngineCapacity:     a.capacity,
	}
}

// Heartbeat returns what the agent sends at the moment now when it starts or its queue is empty: a state that says
// nothing of the load, and has lost the capacity.
func (a *Agent) Heartbeat(now time.Time) state.State {
	return state.State{
		EngineID:           a.id,
		TimestampMs:        now.UnixMilli(),
		SchedulingMode:     "latency_optimized",
		KVCacheFreeBlocks:  state.Unknown,
		KVCacheTotalBlocks: state.Unknown,
	}
}
