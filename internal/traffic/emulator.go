package traffic

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/elrar/state-gateway/state"
)

// What the protocol says of real agents, and what a recorded stream shows.
const (
	BroadcastCopies = 3 // of each datagram in broadcast mode: to the subnet, to 127.0.0.1 and to localhost

	heartbeatTick     = 10 * time.Millisecond // how often an agent looks whether its queue is empty
	heartbeatInterval = 2 * time.Second       // the least time between two heartbeats
	// stepTime is how long after the interval a real state can come: it waits for the end of a scheduling step. In the
	// recorded stream, which is pushed every 200 ms, the gaps are 200 to 207 ms, with the median at 204.
	stepTime = 7 * time.Millisecond
)

// Workload is how much work an emulated engine has.
type Workload uint8

// The workloads.
const (
	Steady Workload = iota // always some
	Breaks                 // now and then none for a few seconds, so that the engine turns idle
	NoWork                 // never any: the agent only beats
)

// EmulatorConfig describes an emulated agent. Times of an emulator are virtual: they count from its Epoch.
type EmulatorConfig struct {
	EngineID    string
	Seed        uint64
	Epoch       time.Time     // what a right clock shows at the virtual time 0
	Start       time.Duration // when the agent starts
	Interval    time.Duration // least time between two real states; more than 0
	ClockOffset time.Duration // by how much the host's clock is ahead
	Workload    Workload
	Copies      int // of each datagram; 0 means 1
}

// Emulator emulates an engine's agent: what it sends and when, with the weaknesses of real ones. At its start it sends
// an init state; while there is work a real state at an interval; and a heartbeat whenever its queue is empty at a
// tick, but for 2 s after the last one. The queue also empties for moments under load, so that heartbeats come between
// real states, too.
//
// It is deterministic: the same configuration and the same turns make the same life.
type Emulator struct {
	cfg     EmulatorConfig
	agent   *Agent
	random  *rand.Rand
	offset  time.Duration // of the host's clock
	started bool          // the init state has been sent
	push    time.Duration // when the next real state is due; before the start, the init state
	tick    time.Duration // the next tick at which a heartbeat may be sent
	newest  int64         // timestamp_ms of the newest real state
	rested  time.Duration // until then there is no work
	pause   time.Duration // of Breaks: when the next one begins
	turns   []turn        // to come, in order of time
}

// turn is something that happens to an engine from outside.
type turn struct {
	at time.Duration
	do func(*Emulator)
}

// NewEmulator returns an agent that has not started yet.
func NewEmulator(cfg EmulatorConfig) *Emulator {
	cfg.Copies = max(cfg.Copies, 1)
	e := &Emulator{
		cfg: cfg, agent: NewAgent(cfg.EngineID, cfg.Seed), random: rand.New(rand.NewPCG(cfg.Seed, 0x68656172746265)),
		offset: cfg.ClockOffset,
	}
	e.begin(cfg.Start)
	return e
}

// StepClock lets the host's clock be set by the given time, forwards if positive, at a virtual time.
func (e *Emulator) StepClock(at, by time.Duration) {
	e.plan(at, func(e *Emulator) { e.offset += by })
}

// Restart lets the agent end at a virtual time and start again after down.
func (e *Emulator) Restart(at, down time.Duration) {
	e.plan(at, func(e *Emulator) { e.begin(at + down) })
}

// Rest lets the engine have no work from a virtual time on, for the given time.
func (e *Emulator) Rest(at, length time.Duration) {
	e.plan(at, func(e *Emulator) { e.rested = max(e.rested, at+length) })
}

func (e *Emulator) plan(at time.Duration, do func(*Emulator)) {
	i, _ := slices.BinarySearchFunc(e.turns, at, func(t turn, at time.Duration) int {
		if t.at <= at { // behind those of the same time
			return -1
		}
		return 1
	})
	e.turns = slices.Insert(e.turns, i, turn{at, do})
}

// Next returns the next datagram: when it is sent, not before the one before it, its state, and how many copies of it
// are sent at once.
func (e *Emulator) Next() (at time.Duration, s state.State, copies int) {
	for {
		switch {
		case len(e.turns) > 0 && e.turns[0].at <= min(e.push, e.tick):
			e.turns[0].do(e)
			e.turns = e.turns[1:]
		case !e.started:
			at = e.push
			e.started = true
			e.push = e.afterStep(at)
			e.tick = at + heartbeatInterval
			return at, e.agent.Heartbeat(e.clock(at)), e.cfg.Copies
		case e.push <= e.tick:
			at = e.push
			e.push = e.afterStep(at)
			if e.working(at) {
				s = e.agent.Next(e.clock(at))
				e.newest = s.TimestampMs
				return at, s, e.cfg.Copies
			}
		default:
			at = e.tick
			if e.queueEmpty(at) {
				e.tick += heartbeatInterval
				return at, e.agent.Heartbeat(e.clock(at)), e.cfg.Copies
			}
			e.tick += heartbeatTick
		}
	}
}

// begin lets the agent start at a virtual time.
func (e *Emulator) begin(at time.Duration) {
	e.started = false
	e.push = at
	e.tick = at + heartbeatInterval
	e.pause = e.nextPause(at)
	e.newest = -1
}

// clock returns what the host's clock shows.
func (e *Emulator) clock(at time.Duration) time.Time { return e.cfg.Epoch.Add(at + e.offset) }

// afterStep returns when the real state after the one at a virtual time is due.
func (e *Emulator) afterStep(at time.Duration) time.Duration {
	return at + e.cfg.Interval + time.Duration(e.random.Float64()*float64(min(stepTime, e.cfg.Interval/10)))
}

// working reports whether there is work.
func (e *Emulator) working(at time.Duration) bool {
	if e.cfg.Workload == Breaks && at >= e.pause {
		e.rested = max(e.rested, at+3*time.Second+time.Duration(e.random.Int64N(int64(3*time.Second))))
		e.pause = e.nextPause(e.rested)
	}
	return e.cfg.Workload != NoWork && at >= e.rested
}

// nextPause returns when the break after a virtual time begins: 20 s to 3 min later, so that eight engines together are
// at work most of the time.
func (e *Emulator) nextPause(after time.Duration) time.Duration {
	return after + 20*time.Second + time.Duration(e.random.Int64N(int64(160*time.Second)))
}

// queueEmpty reports whether the queue is empty at a tick: without work always; under load for moments, which are the
// rarer the higher it is, and not in the millisecond in which a scheduling step has just ended.
func (e *Emulator) queueEmpty(at time.Duration) bool {
	if at < e.rested || e.cfg.Workload == NoWork {
		return true
	}
	return e.random.Float64() >= 0.9*e.agent.load && e.clock(at).UnixMilli() != e.newest
}
