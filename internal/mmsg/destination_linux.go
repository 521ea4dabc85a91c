package mmsg

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// controlSize holds one IP_PKTINFO message with room to spare: CMSG_SPACE(12) is 32 bytes on 64-bit machines.
const controlSize = 64

// EnableDestinations makes the kernel tell each datagram's destination (IP_PKTINFO). IPv4 only.
func EnableDestinations(conn *net.UDPConn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1) })
}

// broadcastDestination reports whether the control messages of one datagram say that it was sent to a broadcast
// address: its destination then differs from the address that the kernel would answer from (ipi_spec_dst). Malformed
// or missing control messages mean no.
func broadcastDestination(oob []byte) bool {
	for len(oob) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return false
		}
		if header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo {
			// struct in_pktinfo: interface index, ipi_spec_dst, ipi_addr.
			return binary.NativeEndian.Uint32(data[4:]) != binary.NativeEndian.Uint32(data[8:])
		}
		oob = rest
	}
	return false
}
