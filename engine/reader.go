package engine

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// Handler handles the batches of one reader.
type Handler interface {
	// HandleBatch is called on the reader's goroutine with at least one datagram. The batch and every byte of it are
	// the reader's: they are valid until the call returns. It must not block: while it runs, the kernel queues.
	HandleBatch(b *Batch)

	// HandleMisfit is called, before the batch's HandleBatch, for each datagram that is not in the batch because it is
	// empty or was cut. It has been counted already. The same holds of its bytes and of blocking.
	HandleMisfit(read time.Time, source netip.AddrPort, payload []byte)
}

// receiver is what a reader needs of a socket: mmsg.Receiver's methods. Tests put a fake in its place.
type receiver interface {
	source
	Receive(wait bool) (int, error)
	ReadAt() time.Time
	Truncated(i int) bool
}

// A reader reads one socket. Its receiver and batch belong to run's goroutine; the rest is shared through atomics.
type reader struct {
	conn    *net.UDPConn
	recv    receiver
	granted int // bytes of receive buffer
	batch   Batch
	queue   queueClock

	counters     counters
	broadcast    bool
	passed       bool // the socket outlives this process
	stopping     atomic.Bool
	stopped      atomic.Bool
	failingSince atomic.Pointer[time.Time]
}

func newReader(i int, conn *net.UDPConn, cfg Config) (*reader, error) {
	setReceiveBuffer := mmsg.SetReceiveBuffer
	if len(cfg.Sockets) > 0 {
		setReceiveBuffer = mmsg.RaiseReceiveBuffer
	}
	granted, err := setReceiveBuffer(conn, cfg.ReceiveBuffer)
	if err != nil {
		return nil, os.NewSyscallError("SO_RCVBUF", err)
	}
	if cfg.Broadcast {
		if err := mmsg.EnableDestinations(conn); err != nil {
			return nil, os.NewSyscallError("IP_PKTINFO", err)
		}
	}
	recv, err := mmsg.NewReceiver(conn, cfg.BatchSize, cfg.MaxDatagram, cfg.Broadcast)
	if err != nil {
		return nil, err
	}
	return &reader{
		conn: conn, recv: recv, granted: granted, broadcast: cfg.Broadcast, passed: len(cfg.Sockets) > 0,
		batch: Batch{Reader: i, from: recv, index: make([]int, 0, cfg.BatchSize), waited: make([]time.Duration, 0, cfg.BatchSize)},
		queue: newQueueClock(time.Now()),
	}, nil
}

// Failing reads are tried again after minBackoff, doubled each time up to maxBackoff, for giveUp altogether. The
// errors that a receiving UDP socket can have (ENOBUFS, ENOMEM, EIO) pass or do not; a process that stays deaf for
// longer than giveUp is of more use restarted.
const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = time.Second
	giveUp     = 30 * time.Second
)

// run reads batches until stop, drains the socket, and returns nil; or returns the error it could not recover from.
func (r *reader) run(h Handler) error {
	defer r.stopped.Store(true)
	backoff := minBackoff
	for {
		n, err := r.recv.Receive(true)
		if err == nil {
			if r.failingSince.Load() != nil {
				r.failingSince.Store(nil)
				backoff = minBackoff
			}
			r.handle(h, n)
			continue
		}
		if r.stopping.Load() {
			return r.drain(h)
		}
		r.counters.readErrors.Add(1)
		now := time.Now()
		since := r.failingSince.Load()
		if since == nil {
			since = &now
			r.failingSince.Store(since)
		}
		if errors.Is(err, net.ErrClosed) || now.Sub(*since) > giveUp {
			return err
		}
		time.Sleep(backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// stop makes run drain and return. Safe from any goroutine.
func (r *reader) stop() {
	r.stopping.Store(true)
	r.conn.SetReadDeadline(time.Unix(1, 0)) // wakes a waiting Receive
}

// drain handles what the kernel has queued, until there is nothing or DrainLimit has passed. Nothing comes after it: its own
// socket is sealed first, and a passed one keeps it for the next process.
func (r *reader) drain(h Handler) error {
	if !r.passed {
		_ = mmsg.Seal(r.conn) // where it cannot be done, what comes between the last read and Close is lost
	}
	empty := 0
	for end := time.Now().Add(DrainLimit); time.Now().Before(end); {
		n, err := r.recv.Receive(false)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // stop's, which has done its work
			err = r.conn.SetReadDeadline(time.Time{})
		case n == 0 && err == nil:
			if empty++; empty == 2 {
				return nil
			}
			runtime.Gosched() // what was on its way into the socket when it was sealed gets there
		case err == nil:
			r.handle(h, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handle sorts out what no handler wants, hands over the rest, and counts.
func (r *reader) handle(h Handler, n int) {
	b := &r.batch
	b.Read = r.recv.ReadAt()
	b.index, b.waited = b.index[:0], b.waited[:0]
	r.queue.read(b.Read)
	var waited time.Duration
	var bytes, empty, tooLarge, broadcast uint64
	for i := range n { // exactly as many as were returned: the slots after them hold old datagrams
		size := len(r.recv.Payload(i))
		bytes += uint64(size)
		waited = r.queue.waited(r.recv.Arrival(i))
		if r.broadcast && r.recv.Broadcast(i) {
			broadcast++
		}
		switch {
		case size == 0:
			empty++
			h.HandleMisfit(b.Read, r.recv.Source(i), nil)
		case r.recv.Truncated(i):
			tooLarge++
			h.HandleMisfit(b.Read, r.recv.Source(i), r.recv.Payload(i))
		default:
			b.index, b.waited = append(b.index, i), append(b.waited, waited)
		}
	}
	if len(b.index) > 0 {
		h.HandleBatch(b)
	}
	c := &r.counters
	c.bytes.Add(bytes)
	c.unicast.Add(uint64(n) - broadcast)
	c.lastReceived.Store(uint64(b.Read.UnixNano() - int64(waited)))
	if empty|tooLarge|broadcast != 0 {
		c.empty.Add(empty)
		c.tooLarge.Add(tooLarge)
		c.broadcast.Add(broadcast)
	}
	c.received.Add(uint64(n)) // last: whoever sees it, sees the others
}
