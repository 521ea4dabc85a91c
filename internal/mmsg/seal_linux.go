package mmsg

import (
	"net"

	"golang.org/x/sys/unix"
)

// Seal makes nothing more arrive at a socket, and leaves what it has queued to be read: it connects the socket to its own
// port on the loopback address, from which nobody else can send. A sender is refused from then on as if the socket were
// closed; other sockets that share the port take its flows.
func Seal(conn *net.UDPConn) error {
	return control(conn, func(fd int) error {
		own, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		switch peer := own.(type) {
		case *unix.SockaddrInet4:
			if peer.Addr == [4]byte{} {
				peer.Addr = [4]byte{127, 0, 0, 1}
			}
		case *unix.SockaddrInet6:
			if peer.Addr == [16]byte{} {
				peer.Addr = [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1} // IPv4 is there where IPv6 is not
				if unix.Connect(fd, peer) == nil {
					return nil
				}
				peer.Addr = [16]byte{15: 1} // a socket of IPv6 alone
			}
		}
		return unix.Connect(fd, own)
	})
}
