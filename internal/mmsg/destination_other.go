//go:build !linux

package mmsg

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// controlSize holds the messages that FlagDst asks for.
const controlSize = 128

// EnableDestinations makes the kernel tell each datagram's destination. IPv4 only.
func EnableDestinations(conn *net.UDPConn) error {
	return ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
}

// broadcastDestination reports whether the control messages of one datagram say that it was sent to a broadcast
// address: the limited one, or an address that is none of this host's own (systems without ipi_spec_dst).
func broadcastDestination(oob []byte) bool {
	var cm ipv4.ControlMessage
	if cm.Parse(oob) != nil {
		return false
	}
	dst, ok := netip.AddrFromSlice(cm.Dst.To4())
	if !ok || dst.IsLoopback() {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return dst == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(cm.Dst) {
			return false
		}
	}
	return true
}
