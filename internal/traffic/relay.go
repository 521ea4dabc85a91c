package traffic

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/internal/disorder"
	"github.com/elrar/state-gateway/internal/mmsg"
)

// RelayConfig describes a bad network.
type RelayConfig struct {
	Target    netip.AddrPort
	Seed      uint64
	Drop      float64       // share of datagrams lost, 0 … 1
	Duplicate float64       // share of the others that arrive twice
	Displace  float64       // share of what arrives that is overtaken by one or two later datagrams of its stream
	Delay     time.Duration // most time that a datagram takes, beside waiting to be overtaken

	// Delivered, if set, is called for each datagram that the target's kernel has taken, in the order of its stream,
	// from Run's goroutine. The payload may be kept.
	Delivered func(stream int, payload []byte)
}

// Relay passes datagrams on to a target as a bad network does. What comes from one address is one stream, as each
// engine's is; it leaves from one address, too. Within a stream nothing is overtaken by more than two later datagrams.
type Relay struct {
	cfg       RelayConfig
	conn      *net.UDPConn
	random    *rand.Rand
	streams   map[netip.AddrPort]*relayStream
	under     relayQueue // way
	order     uint64     // of things put under way: for those due at the same time
	received  atomic.Uint64
	delivered atomic.Uint64
}

type relayStream struct {
	number   int
	disorder *disorder.Disorder[[]byte]
	conn     *net.UDPConn
	last     time.Time // when the newest that is under way arrives: the others come later
}

// NewRelay opens the relay's socket on the loopback address.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	// Its losses are to be those of the seed: room for some seconds of a few thousand datagrams/s.
	if _, err := mmsg.SetReceiveBuffer(conn, 8<<20); err != nil {
		conn.Close()
		return nil, err
	}
	return &Relay{cfg: cfg, conn: conn, random: rand.New(rand.NewPCG(cfg.Seed, 1)), streams: map[netip.AddrPort]*relayStream{}}, nil
}

// Address returns where to send to.
func (r *Relay) Address() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Received returns the datagrams that have come to the relay.
func (r *Relay) Received() uint64 { return r.received.Load() }

// Delivered returns the datagrams that the target's kernel has taken.
func (r *Relay) Delivered() uint64 { return r.delivered.Load() }

// Run relays until ctx is done, then delivers what is still under way, and closes the sockets.
func (r *Relay) Run(ctx context.Context) error {
	defer r.close()
	buf := make([]byte, 1<<16)
	stop := context.AfterFunc(ctx, func() { r.conn.SetReadDeadline(time.Now()) })
	defer stop()
	for ctx.Err() == nil {
		deadline := time.Now().Add(time.Minute)
		if len(r.under) > 0 {
			deadline = r.under[0].due
		}
		r.conn.SetReadDeadline(deadline)
		if ctx.Err() != nil { // it may have ended just before the deadline was replaced
			break
		}
		n, from, err := r.conn.ReadFromUDPAddrPort(buf)
		if err == nil {
			r.received.Add(1)
			if err := r.accept(from, slices.Clone(buf[:n])); err != nil {
				return err
			}
		} else if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			return err
		}
		if err := r.deliver(time.Now()); err != nil {
			return err
		}
	}
	for _, s := range r.streams {
		r.send(s, s.disorder.Rest())
	}
	return r.deliver(time.Now().Add(time.Hour))
}

func (r *Relay) close() {
	r.conn.Close()
	for _, s := range r.streams {
		s.conn.Close()
	}
}

// accept takes a datagram into its stream and puts what it lets go under way.
func (r *Relay) accept(from netip.AddrPort, payload []byte) error {
	s := r.streams[from]
	if s == nil {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.cfg.Target))
		if err != nil {
			return err
		}
		n := len(r.streams)
		s = &relayStream{number: n, conn: conn, disorder: disorder.New[[]byte](
			disorder.Shares{Drop: r.cfg.Drop, Duplicate: r.cfg.Duplicate, Displace: r.cfg.Displace},
			rand.New(rand.NewPCG(r.cfg.Seed, uint64(n)+2)))}
		r.streams[from] = s
	}
	r.send(s, s.disorder.Pass(payload))
	return nil
}

// send puts datagrams of a stream under way, none to arrive before those before it.
func (r *Relay) send(s *relayStream, payloads [][]byte) {
	for _, p := range payloads {
		due := time.Now().Add(time.Duration(r.random.Float64() * float64(r.cfg.Delay)))
		if due.Before(s.last) {
			due = s.last
		}
		s.last = due
		r.order++
		heap.Push(&r.under, &relayed{due, r.order, s, p})
	}
}

// deliver lets arrive what is due.
func (r *Relay) deliver(now time.Time) error {
	for len(r.under) > 0 && !r.under[0].due.After(now) {
		d := heap.Pop(&r.under).(*relayed)
		if _, err := d.stream.conn.Write(d.payload); err != nil {
			return fmt.Errorf("relaying to %v: %w", r.cfg.Target, err)
		}
		if r.cfg.Delivered != nil {
			r.cfg.Delivered(d.stream.number, d.payload)
		}
		r.delivered.Add(1)
	}
	return nil
}

// relayed is a datagram under way.
type relayed struct {
	due     time.Time
	order   uint64
	stream  *relayStream
	payload []byte
}

type relayQueue []*relayed

func (q relayQueue) Len() int { return len(q) }
func (q relayQueue) Less(i, j int) bool {
	if c := q[i].due.Compare(q[j].due); c != 0 {
		return c < 0
	}
	return q[i].order < q[j].order
}
func (q relayQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *relayQueue) Push(x any)   { *q = append(*q, x.(*relayed)) }
func (q *relayQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
