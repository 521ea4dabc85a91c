//go:build linux && !portable

package mmsg

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of <sys/socket.h>. Go pads it to the alignment of Msghdr as C does.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received or sent
}

// Receiver reads batches of datagrams from one UDP socket into a slab of its own.
//
// What its methods return for datagram i of the last batch aliases the slab: it is valid until the next Receive.
type Receiver struct {
	raw     syscall.RawConn
	headers []mmsghdr
	iovecs  []unix.Iovec
	names   []unix.RawSockaddrInet6 // large enough for either family
	control []byte                  // controlSize bytes a message
	slab    []byte
	stride  int

	destinations bool // the kernel tells them
	arrivals     bool // the kernel tells them
	presence     presence
	readAt       time.Time

	// What one Receive and its callback tell each other; bound once, so that a call allocates nothing.
	call func(fd uintptr) bool
	wait bool
	n    int
	err  error
}

// NewReceiver returns a receiver of at most batch datagrams at a time (1–1024), each of at most size bytes; what is
// longer is cut and marked as truncated. With destinations, Broadcast tells where datagrams were sent to; the socket
// must then have been given to EnableDestinations. The caller keeps conn, and closes it.
func NewReceiver(conn *net.UDPConn, batch, size int, destinations bool) (*Receiver, error) {
	if batch < 1 || batch > maxBatch {
		return nil, ErrBatch
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		raw:     raw,
		headers: make([]mmsghdr, batch),
		iovecs:  make([]unix.Iovec, batch),
		names:   make([]unix.RawSockaddrInet6, batch),
		control: make([]byte, batch*controlSize),
		stride:  slotStride(size),

		destinations: destinations,
	}
	r.slab = make([]byte, batch*r.stride)
	for i := range r.headers {
		r.iovecs[i].Base = &r.slab[i*r.stride]
		r.iovecs[i].SetLen(size)
		h := &r.headers[i].Msghdr
		h.Iov = &r.iovecs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.control[i*controlSize]
	}
	r.rearm(batch, r.controlLength())
	r.call = r.recvmmsg
	return r, nil
}

// rearm gives the first n headers their lengths back, which the kernel overwrites.
func (r *Receiver) rearm(n, controlLength int) {
	for i := range r.headers[:n] {
		r.headers[i].Namelen = unix.SizeofSockaddrInet6
		r.headers[i].SetControllen(controlLength)
	}
}

// controlLength returns the room for control messages of each datagram: none, if the kernel has nothing to tell.
func (r *Receiver) controlLength() int {
	if r.destinations || r.arrivals {
		return controlSize
	}
	return 0
}

// tellArrivals makes the kernel tell arrivals or not. A socket that cannot, tells none.
func (r *Receiver) tellArrivals(fd int, on bool) {
	if setArrivals(fd, on) != nil {
		return
	}
	r.arrivals = on
	r.rearm(len(r.headers), r.controlLength())
}

// Receive reads the datagrams that are there, at most a batch, and returns their number. With wait it waits for the
// first; without, it returns 0 when there is none. Errors are the socket's: os.ErrDeadlineExceeded after a read
// deadline, net.ErrClosed after Close, a syscall.Errno otherwise.
func (r *Receiver) Receive(wait bool) (int, error) {
	r.rearm(r.n, r.controlLength())
	r.wait, r.n, r.err = wait, 0, nil
	if err := r.raw.Read(r.call); err != nil {
		return 0, err
	}
	r.readAt = r.presence.readAt()
	if r.arrivals && r.n > 0 {
		r.presence.caughtUp(r.Arrival(r.n-1), r.readAt)
	}
	return r.n, r.err
}

// ReadAt returns when the last batch was read. A process that was stopped in the middle of a read counts its time from
// there, not from when it went on.
func (r *Receiver) ReadAt() time.Time { return r.readAt }

func (r *Receiver) recvmmsg(fd uintptr) bool {
	for {
		if away := r.presence.look(); away != r.arrivals {
			r.tellArrivals(int(fd), away)
		}
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&r.headers[0])), uintptr(len(r.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.n = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return !r.wait // false: the poller calls again when there is something
		default:
			r.err = errno
			return true
		}
	}
}

// Payload returns the bytes of datagram i, or as many of them as the receiver's size allows.
func (r *Receiver) Payload(i int) []byte {
	start := i * r.stride
	return r.slab[start : start+int(r.headers[i].n) : start+int(r.headers[i].n)]
}

// Truncated reports whether datagram i was longer than the receiver's size.
func (r *Receiver) Truncated(i int) bool { return r.headers[i].Flags&unix.MSG_TRUNC != 0 }

// Source returns the address that datagram i came from, an IPv4-mapped one as IPv4, without a zone.
func (r *Receiver) Source(i int) netip.AddrPort {
	sa := &r.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port)
}

// Broadcast reports whether datagram i was sent to a broadcast address rather than to one of this host's own.
func (r *Receiver) Broadcast(i int) bool {
	return r.destinations && broadcastDestination(r.oob(i))
}

// Arrival returns when datagram i reached this host, as the kernel saw it: Unix ns, by the wall clock of that moment; or
// 0, within AwayLimit before ReadAt. To be told costs the kernel a tenth of all that a datagram costs, so that it is asked
// only when the datagram may have waited for longer.
func (r *Receiver) Arrival(i int) int64 {
	if !r.arrivals {
		return 0
	}
	return arrival(r.oob(i))
}

// oob returns the control messages of datagram i.
func (r *Receiver) oob(i int) []byte {
	start := i * controlSize
	return r.control[start : start+int(r.headers[i].Controllen)]
}
