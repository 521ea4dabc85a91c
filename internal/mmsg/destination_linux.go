package mmsg

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// EnableDestinations makes the kernel tell each datagram's destination (IP_PKTINFO). IPv4 only.
func EnableDestinations(conn *net.UDPConn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1) })
}

// broadcastDestination reports whether the control messages of one datagram say that it was sent to a broadcast
// address: its destination then differs from the address that the kernel would answer from (ipi_spec_dst). Malformed
// or missing control messages mean no.
func broadcastDestination(oob []byte) bool {
	info := controlMessage(oob, unix.IPPROTO_IP, unix.IP_PKTINFO)
	// struct in_pktinfo: interface index, ipi_spec_dst, ipi_addr.
	return len(info) >= unix.SizeofInet4Pktinfo && binary.NativeEndian.Uint32(info[4:]) != binary.NativeEndian.Uint32(info[8:])
}
