package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// LoadConfig describes a load: more datagrams than a fleet of agents could send, with less life in them.
type LoadConfig struct {
	Target  netip.AddrPort
	Engines int     // at least one for each sender
	Rate    float64 // datagrams/s of all senders together; 0 = as many as can be sent
	Senders int     // sockets, each with a goroutine and engines of its own
	GSO     bool    // UDP generic segmentation offload, Linux only
	Shape   Shape
	Invalid float64 // of Mixed: the share of invalid datagrams, 0 … 1
	Size    int     // bytes of each datagram, filled up with spaces; 0 = DatagramSize
}

// DatagramSize is the size of a load's datagrams in bytes: a real one has about 270, and these have longer numbers.
const DatagramSize = 296

// sendBatch is how many buffers go to the kernel with one system call: enough to make its cost small beside theirs.
const sendBatch = 64

// Load sends numbered states: each engine's pending_tokens_total counts its datagrams from 1,000,000,000 upwards, and
// its timestamps only grow. NewLoad makes one, Run runs it once; the counters may be read at any time.
type Load struct {
	cfg     LoadConfig
	senders []*loadSender
	sent    atomic.Uint64
	invalid atomic.Uint64
	failed  atomic.Uint64
}

type loadSender struct {
	load      *Load
	conn      *net.UDPConn
	sender    batchSender
	random    *rand.Rand
	templates []*template
	next      int   // of templates
	sequence  int64 // of all of them: one more each round
	buffers   [][]byte
	filled    [][]byte // scratch: the filled part of buffers
	invalid   []uint64 // the invalid datagrams in each of filled
	segments  int      // datagrams a buffer
}

// NewLoad opens the sockets. The engine ids are "http://load-I:8000".
func NewLoad(cfg LoadConfig) (*Load, error) {
	if cfg.Size == 0 {
		cfg.Size = DatagramSize
	}
	if cfg.Senders < 1 || cfg.Engines < cfg.Senders {
		return nil, fmt.Errorf("%d engines for %d senders: each sender needs one", cfg.Engines, cfg.Senders)
	}
	l := &Load{cfg: cfg}
	for i := range cfg.Senders {
		s, err := l.newSender(i)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.senders = append(l.senders, s)
	}
	return l, nil
}

func (l *Load) newSender(i int) (_ *loadSender, err error) {
	s := &loadSender{load: l, random: rand.New(rand.NewPCG(uint64(i), 1)), segments: 1}
	if s.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(l.cfg.Target)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.conn.Close()
		}
	}()
	if l.cfg.GSO {
		if err := mmsg.SetSegmentation(s.conn, l.cfg.Size); err != nil {
			return nil, fmt.Errorf("UDP segmentation offload: %w", err)
		}
		s.segments = min(mmsg.MaxSegments, 65507/l.cfg.Size)
	}
	if s.sender, err = mmsg.NewSender(s.conn, sendBatch); err != nil {
		return nil, err
	}
	for e := i; e < l.cfg.Engines; e += l.cfg.Senders {
		shape := l.cfg.Shape
		if shape == Mixed {
			shape = Shapes[e%3]
		}
		t, err := newTemplate(fmt.Sprintf("http://load-%d:8000", e), shape, l.cfg.Size, s.random)
		if err != nil {
			return nil, err
		}
		s.templates = append(s.templates, t)
	}
	s.buffers = make([][]byte, max(1, sendBatch/s.segments))
	for k := range s.buffers {
		s.buffers[k] = make([]byte, s.segments*l.cfg.Size)
	}
	return s, nil
}

// Close closes the sockets; after Run.
func (l *Load) Close() {
	for _, s := range l.senders {
		s.conn.Close()
	}
}

// Sent returns the datagrams that the kernel took.
func (l *Load) Sent() uint64 { return l.sent.Load() }

// Invalid returns how many of those sent were made invalid.
func (l *Load) Invalid() uint64 { return l.invalid.Load() }

// Failed returns the sends that the kernel refused, for instance while nobody listens at the target. Each was tried
// again.
func (l *Load) Failed() uint64 { return l.failed.Load() }

// Run sends until ctx is done.
func (l *Load) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, s := range l.senders {
		group.Go(func() error { return s.run(ctx) })
	}
	return group.Wait()
}

func (s *loadSender) run(ctx context.Context) error {
	rate := s.load.cfg.Rate / float64(s.load.cfg.Senders)
	begin, sent := time.Now(), 0
	for ctx.Err() == nil {
		due := len(s.buffers) * s.segments
		if rate > 0 {
			due = min(due, int(time.Since(begin).Seconds()*rate)-sent)
			if due <= 0 {
				wait := time.Duration(float64(sent+1)/rate*float64(time.Second)) - time.Since(begin)
				if !sleep(ctx, wait) {
					return nil
				}
				continue
			}
		}
		n, err := s.send(ctx, due)
		sent += n
		if err != nil {
			return err
		}
	}
	return nil
}

// send sends n datagrams, at most what the buffers hold, and returns how many went out: all of them unless there is an
// error or ctx is done. A refusal for now is counted and the send tried again.
func (s *loadSender) send(ctx context.Context, n int) (sent int, err error) {
	buffers := s.fill(n)
	taken, err := transmit(ctx, s.sender, buffers, &s.load.failed)
	for k, b := range buffers[:taken] {
		sent += len(b) / s.load.cfg.Size
		s.load.invalid.Add(s.invalid[k])
	}
	s.load.sent.Add(uint64(sent))
	if err != nil {
		err = fmt.Errorf("sending to %v: %w", s.load.cfg.Target, err)
	}
	return sent, err
}

// fill writes the next n datagrams into the buffers and returns the filled part of them.
func (s *loadSender) fill(n int) (buffers [][]byte) {
	now, size := time.Now().UnixMilli(), s.load.cfg.Size
	buffers, s.invalid = s.filled[:0], s.invalid[:0]
	for k := 0; k < len(s.buffers) && n > 0; k++ {
		segments := min(n, s.segments)
		buffer := s.buffers[k][:segments*size]
		invalid := uint64(0)
		for i := range segments {
			invalid += s.datagram(buffer[i*size:(i+1)*size], now)
		}
		buffers, s.invalid = append(buffers, buffer), append(s.invalid, invalid)
		n -= segments
	}
	s.filled = buffers
	return buffers
}

// datagram writes the next datagram and returns 1 if it is an invalid one.
func (s *loadSender) datagram(dst []byte, now int64) (invalid uint64) {
	if s.next == len(s.templates) {
		s.next = 0
		s.sequence++
	}
	t := s.templates[s.next]
	s.next++
	t.stamp(now, s.sequence)
	copy(dst, t.bytes)
	if s.load.cfg.Shape == Mixed && s.random.Float64() < s.load.cfg.Invalid {
		damage(dst, s.random.Int64())
		return 1
	}
	return 0
}
