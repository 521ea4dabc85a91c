//go:build !linux || portable

package mmsg

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
)

// Receiver reads batches of datagrams from one UDP socket into a slab of its own.
//
// What its methods return for datagram i of the last batch aliases the slab: it is valid until the next Receive.
// This twin allocates an address for each datagram, as x/net's ReadBatch does.
type Receiver struct {
	conn     *ipv4.PacketConn
	messages []ipv4.Message

	destinations bool // the kernel tells them
	readAt       time.Time
}

// NewReceiver returns a receiver of at most batch datagrams at a time (1–1024), each of at most size bytes; what is
// longer is cut and marked as truncated. With destinations, Broadcast tells where datagrams were sent to; the socket
// must then have been given to EnableDestinations. The caller keeps conn, and closes it.
func NewReceiver(conn *net.UDPConn, batch, size int, destinations bool) (*Receiver, error) {
	if batch < 1 || batch > maxBatch {
		return nil, ErrBatch
	}
	r := &Receiver{conn: ipv4.NewPacketConn(conn), messages: make([]ipv4.Message, batch), destinations: destinations}
	// Where they can be told, arrivals are told with every datagram: this twin is not made for speed.
	_ = control(conn, func(fd int) error { return setArrivals(fd, true) }) // a socket that cannot, tells none
	stride := slotStride(size)
	slab := make([]byte, batch*stride)
	for i := range r.messages {
		r.messages[i].Buffers = [][]byte{slab[i*stride : i*stride+size]}
		r.messages[i].OOB = make([]byte, controlSize)
	}
	return r, nil
}

// Receive reads the datagrams that are there, at most a batch, and returns their number. With wait it waits for the
// first; without, it returns 0 when there is none. Errors are the socket's: os.ErrDeadlineExceeded after a read
// deadline, net.ErrClosed after Close, one that wraps a syscall.Errno otherwise.
func (r *Receiver) Receive(wait bool) (int, error) {
	flags := 0
	if !wait {
		flags = syscall.MSG_DONTWAIT
	}
	n, err := r.conn.ReadBatch(r.messages, flags)
	r.readAt = time.Now()
	if !wait && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK)) {
		return 0, nil
	}
	return max(n, 0), err
}

// ReadAt returns when the last batch was read.
func (r *Receiver) ReadAt() time.Time { return r.readAt }

// Payload returns the bytes of datagram i, or as many of them as the receiver's size allows.
func (r *Receiver) Payload(i int) []byte {
	m := &r.messages[i]
	return m.Buffers[0][:m.N:m.N]
}

// Truncated reports whether datagram i was longer than the receiver's size.
func (r *Receiver) Truncated(i int) bool { return r.messages[i].Flags&syscall.MSG_TRUNC != 0 }

// Source returns the address that datagram i came from, an IPv4-mapped one as IPv4, without a zone.
func (r *Receiver) Source(i int) netip.AddrPort {
	addr, ok := r.messages[i].Addr.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Broadcast reports whether datagram i was sent to a broadcast address rather than to one of this host's own.
func (r *Receiver) Broadcast(i int) bool {
	return r.destinations && broadcastDestination(r.oob(i))
}

// Arrival returns when datagram i reached this host, as the kernel saw it: Unix ns, by the wall clock of that moment; 0
// where the kernel does not tell.
func (r *Receiver) Arrival(i int) int64 { return arrival(r.oob(i)) }

// oob returns the control messages of datagram i.
func (r *Receiver) oob(i int) []byte { return r.messages[i].OOB[:r.messages[i].NN] }
