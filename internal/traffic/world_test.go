package traffic

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// epoch is what a right clock shows at the virtual time 0.
var epoch = time.UnixMilli(1_755_532_567_495)

// usualRules are a gateway's by default.
var usualRules = state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}

// world lets emulated agents send to a real table in virtual time, over a network that delays each datagram by 0.3 to
// 10.8 ms, as a recorded stream shows, so that close ones overtake each other.
type world struct {
	table    *shard.Table
	rules    state.Rules
	now      time.Duration
	random   *rand.Rand
	agents   []*Emulator
	silent   bool // nobody sends any more; what is under way still arrives
	under    arrivals
	last     time.Duration // of the arrivals so far
	outcomes struct{ applied, duplicate, outOfOrder, clockReset int }
	watch    func(a *arrival, outcome state.Outcome) // of each arrival, if set
}

type arrival struct {
	agent    int
	sent, at time.Duration
	state    state.State
	number   int // of the agent's datagrams; copies have the same
	copy     int
	copies   int // > 0 marks an agent's next sending instead, at the time sent
}

func newWorld(rules state.Rules, seed uint64, agents ...*Emulator) *world {
	w := &world{
		table: shard.New(shard.Config{MaxEngines: 100, History: 100, Rules: rules}), rules: rules,
		random: rand.New(rand.NewPCG(seed, 77)), agents: agents,
	}
	for i := range agents {
		w.next(i, 0)
	}
	return w
}

// fleet returns n agents that start one after the other during the interval.
func fleet(n int, seed uint64, cfg EmulatorConfig) (agents []*Emulator) {
	for i := range n {
		c := cfg
		c.EngineID, c.Seed, c.Epoch = engineID(i), seed*1000+uint64(i), epoch
		c.Start = cfg.Interval * time.Duration(i) / time.Duration(n)
		agents = append(agents, NewEmulator(c))
	}
	return agents
}

func engineID(i int) string { return fmt.Sprintf("http://10.0.0.%d:8000", i) }

// instant returns a virtual time as the gateway's clocks show it.
func instant(at time.Duration) state.Instant {
	return state.Instant{Mono: int64(time.Hour + at), Wall: epoch.Add(at).UnixNano()}
}

// next takes an agent's next datagram and lets it be sent at its time.
func (w *world) next(agent, number int) {
	at, s, copies := w.agents[agent].Next()
	heap.Push(&w.under, &arrival{agent: agent, sent: at, at: at, state: s, number: number, copies: copies})
}

// run lets time pass until a moment, and calls sample, if any, at each multiple of every.
func (w *world) run(until, every time.Duration, sample func()) {
	for w.now < until {
		next := min((w.now/every+1)*every, until)
		for len(w.under) > 0 && w.under[0].at <= next {
			a := heap.Pop(&w.under).(*arrival)
			w.now = a.at
			if a.copies > 0 {
				w.send(a)
			} else {
				w.arrive(a)
			}
		}
		w.now = next
		if sample != nil {
			sample()
		}
	}
}

func (w *world) send(a *arrival) {
	if w.silent {
		return
	}
	for i := range a.copies {
		copied := *a
		copied.copies, copied.copy = 0, i
		copied.at += 300*time.Microsecond + time.Duration(w.random.Int64N(int64(10500*time.Microsecond)))
		heap.Push(&w.under, &copied)
	}
	w.next(a.agent, a.number+1)
}

func (w *world) arrive(a *arrival) {
	source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(a.agent)}), uint16(40000+a.copy))
	outcome := w.table.Apply(&a.state, source, instant(a.at))
	w.last = a.at
	switch {
	case outcome&state.Applied != 0:
		w.outcomes.applied++
	case outcome&state.Duplicate != 0:
		w.outcomes.duplicate++
	case outcome&state.OutOfOrder != 0:
		w.outcomes.outOfOrder++
	}
	if outcome&state.ClockReset != 0 {
		w.outcomes.clockReset++
	}
	if w.watch != nil {
		w.watch(a, outcome)
	}
}

// held returns what the table holds of an agent's engine, and its status now.
func (w *world) held(agent int) (h state.Held, status state.Status, ok bool) {
	h, ok = w.table.Get(engineID(agent))
	if ok {
		status = h.Status(instant(w.now), &w.rules)
	}
	return h, status, ok
}

// statuses counts the agents' engines by status now.
func (w *world) statuses() (n [state.Statuses]int) {
	w.table.Range(func(h *state.Held) bool {
		n[h.Status(instant(w.now), &w.rules)]++
		return true
	})
	return n
}

type arrivals []*arrival

func (a arrivals) Len() int           { return len(a) }
func (a arrivals) Less(i, j int) bool { return a[i].at < a[j].at }
func (a arrivals) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)        { *a = append(*a, x.(*arrival)) }
func (a *arrivals) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

// perform runs a function for each of several settings in parallel subtests.
func perform[T any](t *testing.T, cases map[string]T, test func(*testing.T, T)) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}
