//go:build linux && !portable

package mmsg

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sender writes batches of datagrams to the peer of one connected UDP socket.
type Sender struct {
	raw     syscall.RawConn
	headers []mmsghdr
	iovecs  []unix.Iovec

	call func(fd uintptr) bool
	todo int
	n    int
	err  error
}

// NewSender returns a sender of at most batch datagrams a system call (1–1024). The caller keeps conn, and closes it.
func NewSender(conn *net.UDPConn, batch int) (*Sender, error) {
	if batch < 1 || batch > maxBatch {
		return nil, ErrBatch
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Sender{raw: raw, headers: make([]mmsghdr, batch), iovecs: make([]unix.Iovec, batch)}
	for i := range s.headers {
		s.headers[i].Iov = &s.iovecs[i]
		s.headers[i].SetIovlen(1)
	}
	s.call = s.sendmmsg
	return s, nil
}

// Send sends the datagrams in order and returns how many the kernel took; fewer than all of them only with an error,
// which then concerns the first one not taken. It waits while the socket's send buffer is full. The datagrams are
// only read, and only during the call.
func (s *Sender) Send(datagrams [][]byte) (int, error) {
	sent := 0
	for sent < len(datagrams) {
		chunk := datagrams[sent:min(sent+len(s.headers), len(datagrams))]
		for i, d := range chunk {
			s.iovecs[i].Base = unsafe.SliceData(d)
			s.iovecs[i].SetLen(len(d))
		}
		s.todo, s.n, s.err = len(chunk), 0, nil
		err := s.raw.Write(s.call)
		clear(s.iovecs[:len(chunk)])
		sent += s.n
		if err == nil {
			err = s.err
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (s *Sender) sendmmsg(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&s.headers[0])), uintptr(s.todo), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			s.n = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			s.err = errno
			return true
		}
	}
}
