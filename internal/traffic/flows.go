package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// Flows sends what many senders sent from a bounded number of sockets. Each stream, which is what must stay in order,
// always leaves from the same one: a gateway's kernel gives all that comes from one socket to one reader, and the flows
// of many spread over its readers as those of real senders do.
//
// Add and Flush are for one goroutine; the counters may be read at any time.
type Flows struct {
	target  netip.AddrPort
	sockets []*flow
	sent    atomic.Uint64
	failed  atomic.Uint64
	tooLong atomic.Uint64
}

type flow struct {
	conn   *net.UDPConn
	sender batchSender
	queued [][]byte
}

// NewFlows opens the sockets.
func NewFlows(target netip.AddrPort, sockets int) (*Flows, error) {
	f := &Flows{target: target}
	for range sockets {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
		if err != nil {
			f.Close()
			return nil, err
		}
		s := &flow{conn: conn}
		f.sockets = append(f.sockets, s)
		if s.sender, err = mmsg.NewSender(conn, sendBatch); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Close closes the sockets.
func (f *Flows) Close() {
	for _, s := range f.sockets {
		s.conn.Close()
	}
}

// Add lets a datagram of the stream with the given number go with the next Flush, until which it may not be changed.
// The same number means the same socket, and as many streams as there are sockets, with numbers at random, use most.
func (f *Flows) Add(stream uint64, datagram []byte) {
	s := f.sockets[stream%uint64(len(f.sockets))]
	s.queued = append(s.queued, datagram)
}

// Flush sends what was added, each stream in its order. A refusal for now is counted in Failed and the send tried again,
// unless ctx is done; what is too long for a datagram to the target is counted in TooLong and left out. After an error,
// what was added is gone.
func (f *Flows) Flush(ctx context.Context) error {
	for _, s := range f.sockets {
		if len(s.queued) == 0 {
			continue
		}
		err := f.flush(ctx, s)
		clear(s.queued)
		s.queued = s.queued[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *Flows) flush(ctx context.Context, s *flow) error {
	for left := s.queued; len(left) > 0; {
		taken, err := transmit(ctx, s.sender, left, &f.failed)
		f.sent.Add(uint64(taken))
		left = left[taken:]
		switch {
		case errors.Is(err, syscall.EMSGSIZE):
			f.tooLong.Add(1)
			left = left[1:]
		case err != nil:
			return fmt.Errorf("sending to %v: %w", f.target, err)
		case ctx.Err() != nil:
			return nil
		}
	}
	return nil
}

// Sent returns the datagrams that the kernel took.
func (f *Flows) Sent() uint64 { return f.sent.Load() }

// Failed returns the sends that the kernel refused, for instance while nobody listens at the target.
func (f *Flows) Failed() uint64 { return f.failed.Load() }

// TooLong returns the datagrams that could not be sent for their length: what came by IPv6 may be 20 bytes longer than
// anything that goes by IPv4.
func (f *Flows) TooLong() uint64 { return f.tooLong.Load() }
