package traffic

import (
	"container/heap"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/state"
)

// FleetConfig describes a fleet of emulated engines.
type FleetConfig struct {
	Target   netip.AddrPort // the gateway
	Engines  int
	Interval time.Duration // between two real states of one engine; the engines start one after the other during it
	Seed     uint64
	Workload Workload
	Copies   int // of each datagram; 0 means 1
}

// Fleet is a number of emulated agents in real time, each with a socket of its own as real ones have.
type Fleet struct {
	cfg     FleetConfig
	members []*member
	sent    atomic.Uint64
	failed  atomic.Uint64
}

type member struct {
	agent *Emulator
	conn  *net.UDPConn
	buf   []byte

	due    time.Duration // since the start: when the next datagram is to be sent
	next   state.State
	copies int
}

// NewFleet opens the fleet's sockets. The engine ids are "http://10.0.x.y:8000".
func NewFleet(cfg FleetConfig) (*Fleet, error) {
	f := &Fleet{cfg: cfg}
	for range cfg.Engines {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(cfg.Target))
		if err != nil {
			f.Close()
			return nil, err
		}
		f.members = append(f.members, &member{conn: conn})
	}
	return f, nil
}

// Close closes the sockets; after Run.
func (f *Fleet) Close() {
	for _, m := range f.members {
		m.conn.Close()
	}
}

// Sent returns the datagrams that the kernel took, copies included.
func (f *Fleet) Sent() uint64 { return f.sent.Load() }

// Failed returns the datagrams that the kernel refused, for instance while nobody listens at the target.
func (f *Fleet) Failed() uint64 { return f.failed.Load() }

// FleetEngineID returns the engine_id of a fleet's i-th agent, i < 2^24.
func FleetEngineID(i int) string {
	return fmt.Sprintf("http://10.%d.%d.%d:8000", i>>16&0xFF, i>>8&0xFF, i&0xFF)
}

// Run lets all agents start and sends what they send until ctx is done. Each keeps to its own schedule: a late datagram
// does not shift the next ones.
func (f *Fleet) Run(ctx context.Context) {
	start := time.Now()
	queue := make(schedule, len(f.members))
	for i, m := range f.members {
		m.agent = NewEmulator(EmulatorConfig{
			EngineID: FleetEngineID(i),
			Seed:     f.cfg.Seed + uint64(i),
			Epoch:    start,
			Start:    f.cfg.Interval * time.Duration(i) / time.Duration(len(f.members)),
			Interval: f.cfg.Interval,
			Workload: f.cfg.Workload,
			Copies:   f.cfg.Copies,
		})
		m.prepare()
		queue[i] = m
	}
	heap.Init(&queue)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Since(start)
		for queue[0].due <= now {
			f.send(queue[0])
			queue[0].prepare()
			heap.Fix(&queue, 0)
		}
		timer.Reset(queue[0].due - time.Since(start))
	}
}

// prepare sets what the member sends next.
func (m *member) prepare() { m.due, m.next, m.copies = m.agent.Next() }

func (f *Fleet) send(m *member) {
	m.buf = m.next.AppendJSON(m.buf[:0])
	for range m.copies {
		if _, err := m.conn.Write(m.buf); err != nil {
			f.failed.Add(1)
		} else {
			f.sent.Add(1)
		}
	}
}

// schedule is a heap of members, the next one due first.
type schedule []*member

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due < s[j].due }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)        { *s = append(*s, x.(*member)) }
func (s *schedule) Pop() any          { panic("a schedule keeps its members") }
