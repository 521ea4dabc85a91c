package mmsg

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Balances says that the kernel spreads the flows of one port over the sockets that share it with SO_REUSEPORT.
const Balances = true

// SetReusePort lets other sockets that set it too share the port that conn is bound to or will be bound to. Set after
// an exclusive bind, it lets this process's own sockets join and keeps out those that bind exclusively first.
func SetReusePort(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// SetReceiveBuffer asks for a receive buffer of size bytes, beyond the system's limit where the process may
// (SO_RCVBUFFORCE, CAP_NET_ADMIN), and returns the bytes granted in the same unit: the kernel doubles what it is asked
// for to make room for its own bookkeeping, and half of what it reports is what was granted.
func SetReceiveBuffer(conn *net.UDPConn, size int) (granted int, err error) {
	err = control(conn, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
				return err
			}
		}
		granted, err = receiveBuffer(fd)
		return err
	})
	return granted, err
}

// RaiseReceiveBuffer is SetReceiveBuffer for a socket that somebody else has made: it never makes the buffer smaller than
// it is. Whoever made it may have been allowed more than this process is, and asking for more than one is allowed takes
// what there is beyond that away.
func RaiseReceiveBuffer(conn *net.UDPConn, size int) (granted int, err error) {
	err = control(conn, func(fd int) error {
		if granted, err = receiveBuffer(fd); err != nil || granted >= size {
			return err
		}
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			if allowed, err := allowedReceiveBuffer(size); err != nil || allowed <= granted {
				return err
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
				return err
			}
		}
		granted, err = receiveBuffer(fd)
		return err
	})
	return granted, err
}

// allowedReceiveBuffer returns what a process without privileges is granted when it asks for size bytes, as a socket
// that is only there to ask tells: the limit itself cannot be read in every network namespace.
func allowedReceiveBuffer(size int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
		return 0, err
	}
	return receiveBuffer(fd)
}

func receiveBuffer(fd int) (int, error) {
	doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return doubled / 2, err
}

// meminfoDrops is SK_MEMINFO_DROPS of <linux/sock_diag.h>, the last of nine 32-bit values.
const meminfoDrops = 8

// Drops returns the number of datagrams that the kernel dropped on this socket, modulo 2^32: mostly for a full receive
// buffer. Unlike SO_RXQ_OVFL, SO_MEMINFO answers when nothing arrives any more.
func Drops(conn *net.UDPConn) (drops uint32, err error) {
	err = control(conn, func(fd int) error {
		var info [meminfoDrops + 1]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return errno
		}
		drops = info[meminfoDrops]
		return nil
	})
	return drops, err
}

// Inode returns the number by which /proc/net shows the socket.
func Inode(conn *net.UDPConn) (inode uint64, err error) {
	err = control(conn, func(fd int) error {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		inode = st.Ino
		return err
	})
	return inode, err
}

// SetSegmentation makes the kernel cut each datagram sent on conn into ones of size bytes (UDP generic segmentation
// offload): one trip through the stack for many datagrams. A buffer may hold MaxSegments of them, the last possibly
// shorter, and 65,507 bytes.
func SetSegmentation(conn *net.UDPConn, size int) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) })
}
