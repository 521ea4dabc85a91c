package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// Config says which sockets an Engine opens and how it reads them.
type Config struct {
	Address       netip.Addr // an unspecified one means every interface of both families, where the kernel has IPv6
	Port          uint16     // 0 = a free one
	Workers       int        // sockets and readers, ≥ 1; one where the kernel does not balance flows over sockets
	BatchSize     int        // datagrams a read, 1–1024
	MaxDatagram   int        // bytes of the largest datagram handed to a handler
	ReceiveBuffer int        // bytes asked for, a socket
	Broadcast     bool       // one IPv4 socket on all interfaces that tells broadcast from unicast

	// Sockets, if there are any, are bound already by somebody who keeps them open beyond this process: they are read in
	// place of own ones, one reader each, and Address, Port and Workers do not count. Listen takes them over.
	Sockets []*net.UDPConn
}

// DrainLimit is how long readers go on reading what the kernel has queued after Run was told to stop: a full receive
// buffer of 8 MiB is 13,000 datagrams, some 50 ms of work; the limit is for senders that do not stop.
const DrainLimit = time.Second

// Engine is a set of bound sockets. Listen makes one, Run reads it, Close releases it.
type Engine struct {
	cfg     Config
	address netip.AddrPort
	readers []*reader

	droppedBefore uint64 // by sockets that others have read before
	dropsMu       sync.Mutex
	drops         []dropCounter
}

// Listen binds the sockets, or takes Config.Sockets. Nothing is read until Run. An error means that nothing is left open.
func Listen(cfg Config) (*Engine, error) {
	if cfg.Broadcast || !mmsg.Balances {
		cfg.Workers = 1
	}
	conns := cfg.Sockets
	if len(conns) == 0 {
		var err error
		if conns, err = listen(cfg); err != nil {
			return nil, err
		}
	}
	e := &Engine{cfg: cfg, address: unmap(conns[0].LocalAddr().(*net.UDPAddr).AddrPort()), drops: make([]dropCounter, len(conns))}
	for i, conn := range conns {
		r, err := newReader(i, conn, cfg)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		e.readers = append(e.readers, r)
		if len(cfg.Sockets) > 0 {
			e.disregardDrops(i, conn)
		}
	}
	return e, nil
}

// disregardDrops makes the drops of a socket count from now: those before are another reader's account, or nobody's.
func (e *Engine) disregardDrops(i int, conn *net.UDPConn) {
	if now, err := mmsg.Drops(conn); err == nil {
		e.drops[i].last = now
		e.droppedBefore += uint64(now)
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Address returns the address that the sockets are bound to; of several of Config.Sockets, the first one's.
func (e *Engine) Address() netip.AddrPort { return e.address }

// Workers returns the number of sockets.
func (e *Engine) Workers() int { return len(e.readers) }

// DroppedBefore returns how many datagrams the kernel had dropped on Config.Sockets before Listen, modulo 2^32 each.
// They are not in KernelDrops.
func (e *Engine) DroppedBefore() uint64 { return e.droppedBefore }

// ReceiveBuffers returns the granted receive buffer of each socket, in the unit of Config.ReceiveBuffer.
func (e *Engine) ReceiveBuffers() []int {
	granted := make([]int, len(e.readers))
	for i, r := range e.readers {
		granted[i] = r.granted
	}
	return granted
}

// Inodes returns the numbers by which /proc/net shows the sockets; errors.ErrUnsupported where there is no such thing.
func (e *Engine) Inodes() ([]uint64, error) {
	inodes := make([]uint64, len(e.readers))
	for i, r := range e.readers {
		var err error
		if inodes[i], err = mmsg.Inode(r.conn); err != nil {
			return nil, err
		}
	}
	return inodes, nil
}

// Run reads until ctx is done and then what is still queued, DrainLimit at most. handler makes each reader's own
// handler, one after the other; it is called before that reader reads anything, while others may read already. Run returns nil after a drain, or the error of a reader that could
// not go on, in which case the others were stopped too: it never returns while a reader still runs.
func (e *Engine) Run(ctx context.Context, handler func(reader int) Handler) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range e.readers {
		h := handler(i)
		stop := context.AfterFunc(ctx, r.stop)
		defer stop()
		group.Go(func() error {
			if err := r.run(h); err != nil {
				return fmt.Errorf("UDP reader %d: %w", i, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Close closes the sockets; KernelDrops keeps its last values. After Run, or instead of it.
func (e *Engine) Close() error {
	e.KernelDrops()
	errs := make([]error, len(e.readers))
	for i, r := range e.readers {
		errs[i] = r.conn.Close()
	}
	return errors.Join(errs...)
}

// Live returns nil while every reader reads or waits for something to read, or the reason why one does not: it has
// stopped, or has been failing for more than limit.
func (e *Engine) Live(limit time.Duration) error {
	for i, r := range e.readers {
		switch since := r.failingSince.Load(); {
		case r.stopped.Load():
			return fmt.Errorf("UDP reader %d has stopped", i)
		case since != nil && time.Since(*since) > limit:
			return fmt.Errorf("UDP reader %d has been failing for %v", i, time.Since(*since).Round(time.Second))
		}
	}
	return nil
}
