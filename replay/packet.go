package replay

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// packet is one captured packet.
type packet struct {
	time      time.Time
	linkType  uint16 // LINKTYPE_…, https://www.tcpdump.org/linktypes.html
	iface     uint32 // which of the file's interfaces, from 1; 0 if it has but one
	bytes     []byte // what was captured of it
	truncated int    // bytes that the snap length cut off behind them
}

// packetReader finds the datagrams in packets, from the outside in: link, VLAN tags, IP, UDP. Checksums are left alone. A
// capture sees packets before the network card computes them when they go out, and after it has checked them when they
// come in; those that were wrong on the wire have not reached the gateway either, unless the host has no checksum at all.
type packetReader struct {
	port   uint16 // to take the datagrams to; 0 = any
	sights *sights
}

// read returns the packet's datagram, or why there is none.
func (r *packetReader) read(p packet) (Datagram, skip) {
	d := Datagram{Time: p.time}
	network, where, why := link(p)
	if why != taken {
		return d, why
	}
	transport, why := network.ip(&d)
	if why != taken {
		return d, why
	}
	if why := transport.udp(&d, r.port); why != taken {
		return d, why
	}
	if where != (place{}) && r.sights.again(&d, where) {
		return d, skipSecondSight
	}
	return d, taken
}

// layer is what one layer of a packet carries: the bytes that were captured, and how many there were on the wire behind them.
type layer struct {
	bytes []byte
	cut   int
}

// short says why a layer that has less than n bytes has them not: truncated by the snap length, or by its sender.
func (l layer) short(n int) skip {
	if len(l.bytes)+l.cut >= n {
		return skipTruncated
	}
	return skipBadLength
}

// after returns the layer without its first n bytes, which are there.
func (l layer) after(n int) layer { return layer{l.bytes[n:], l.cut} }

// trim returns the layer with n bytes, of as many or more on the wire; what is behind them, padding, goes.
func (l layer) trim(n int) layer {
	if n <= len(l.bytes) {
		return layer{l.bytes[:n], 0}
	}
	return layer{l.bytes, n - len(l.bytes)}
}

// Link types.
const (
	linkNull     = 0   // BSD loopback: the address family in the capturing host's byte order
	linkEthernet = 1   //
	linkRawBSD   = 12  // IP, in files of those who took a BSD's number for the format's
	linkRawOther = 14  // the same, OpenBSD
	linkRaw      = 101 // IP
	linkLoop     = 108 // OpenBSD loopback: the address family in network byte order
	linkSLL      = 113 // Linux cooked v1
	linkIPv4     = 228 //
	linkIPv6     = 229 //
	linkSLL2     = 276 // Linux cooked v2
)

// link takes the link layer off a packet that carries IP. where says at which place the packet was seen, if that is told.
func link(p packet) (network layer, where place, why skip) {
	frame, b := layer{p.bytes, p.truncated}, p.bytes
	where.iface = p.iface
	var header, protocol int // the header's length, and where in it the EtherType is
	switch p.linkType {
	case linkRaw, linkRawBSD, linkRawOther, linkIPv4, linkIPv6:
		return frame, where, taken
	case linkNull, linkLoop:
		if len(b) < 4 {
			return layer{}, where, frame.short(4)
		}
		return frame.after(4), where, family(b)
	case linkEthernet:
		header, protocol = 14, 12
	case linkSLL:
		header, protocol = 16, 14
	case linkSLL2:
		header, protocol = 20, 0
	default:
		return layer{}, where, skipLinkType
	}
	if len(b) < header {
		return layer{}, where, frame.short(header)
	}
	switch p.linkType {
	case linkSLL:
		where.direction = 1 + binary.BigEndian.Uint16(b)
	case linkSLL2:
		where.index, where.direction = binary.BigEndian.Uint32(b[4:]), 1+uint16(b[10])
	}
	etherType := binary.BigEndian.Uint16(b[protocol:])
	for isTag(etherType) {
		if len(b) < header+4 {
			return layer{}, where, frame.short(header + 4)
		}
		etherType = binary.BigEndian.Uint16(b[header+2:])
		header += 4
	}
	if etherType != 0x0800 && etherType != 0x86dd { // IPv4, IPv6
		return layer{}, where, skipNotIP
	}
	return frame.after(header), where, taken
}

// isTag reports whether what follows is a VLAN tag: 802.1Q, 802.1ad, or what was usual before that for the outer of two.
func isTag(etherType uint16) bool {
	return etherType == 0x8100 || etherType == 0x88a8 || etherType == 0x9100 || etherType == 0x9200
}

// family says whether a loopback header's address family, in whichever byte order, is one of IP: 2 is AF_INET everywhere,
// AF_INET6 is 10 on Linux, 23 on Windows, 24 on NetBSD and OpenBSD, 28 on FreeBSD and 30 on macOS.
func family(header []byte) skip {
	f := binary.BigEndian.Uint32(header)
	if f > 0xffff {
		f = binary.LittleEndian.Uint32(header)
	}
	switch f {
	case 2, 10, 23, 24, 28, 30:
		return taken
	}
	return skipNotIP
}

const protocolUDP = 17

// ip takes the IP header off a packet that carries UDP, and notes the addresses.
func (l layer) ip(d *Datagram) (transport layer, why skip) {
	if len(l.bytes) == 0 {
		return layer{}, l.short(1)
	}
	switch l.bytes[0] >> 4 {
	case 4:
		return l.ipv4(d)
	case 6:
		return l.ipv6(d)
	}
	return layer{}, skipNotIP
}

func (l layer) ipv4(d *Datagram) (transport layer, why skip) {
	const shortest = 20
	b := l.bytes
	if len(b) < shortest {
		return layer{}, l.short(shortest)
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case header < shortest:
		return layer{}, skipBadLength
	case b[9] != protocolUDP: // before the length, which is 0 in what a network card has yet to cut into TCP segments
		return layer{}, skipNotUDP
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0: // more fragments, or an offset
		return layer{}, skipFragment
	case total < header || total > len(b)+l.cut:
		return layer{}, skipBadLength
	case len(b) < header:
		return layer{}, skipTruncated
	}
	d.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:])), 0)
	d.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), 0)
	return l.trim(total).after(header), taken
}

// Extension headers of IPv6. An authentication header's length counts otherwise than the others'.
const (
	extensionHopByHop       = 0
	extensionRouting        = 43
	extensionFragment       = 44
	extensionAuthentication = 51
	extensionDestination    = 60
	extensionMobility       = 135
	extensionHIP            = 139
	extensionShim6          = 140
)

func (l layer) ipv6(d *Datagram) (transport layer, why skip) {
	const fixed = 40
	b := l.bytes
	if len(b) < fixed {
		return layer{}, l.short(fixed)
	}
	total := fixed + int(binary.BigEndian.Uint16(b[4:])) // a jumbogram's 0 leaves no room for UDP
	if total > len(b)+l.cut {
		return layer{}, skipBadLength
	}
	d.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:])), 0)
	d.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:])), 0)
	protocol := b[6]
	l = l.trim(total).after(fixed)
	for {
		length := 0
		switch protocol {
		case protocolUDP:
			return l, taken
		case extensionHopByHop, extensionRouting, extensionDestination, extensionMobility, extensionHIP, extensionShim6:
			if len(l.bytes) < 8 {
				return layer{}, l.short(8)
			}
			length = 8 + 8*int(l.bytes[1])
		case extensionAuthentication:
			if len(l.bytes) < 8 {
				return layer{}, l.short(8)
			}
			length = 8 + 4*int(l.bytes[1])
		case extensionFragment:
			length = 8
			if len(l.bytes) < length {
				return layer{}, l.short(length)
			}
			if binary.BigEndian.Uint16(l.bytes[2:])&0xfff9 != 0 { // an offset, or more fragments; neither: a whole one
				return layer{}, skipFragment
			}
		default:
			return layer{}, skipNotUDP
		}
		if len(l.bytes) < length {
			return layer{}, l.short(length)
		}
		protocol = l.bytes[0]
		l = l.after(length)
	}
}

// udp takes the UDP header off. The port counts before the rest: a capture with a short snap length is mostly of others.
func (l layer) udp(d *Datagram, port uint16) skip {
	const header = 8
	b := l.bytes
	if len(b) < header {
		if len(b) >= 4 && port != 0 && binary.BigEndian.Uint16(b[2:]) != port {
			return skipOtherPort
		}
		return l.short(header)
	}
	to, length := binary.BigEndian.Uint16(b[2:]), int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case port != 0 && to != port:
		return skipOtherPort
	case length < header || length > len(b)+l.cut:
		return skipBadLength
	case length > len(b):
		return skipTruncated
	}
	d.Source = netip.AddrPortFrom(d.Source.Addr(), binary.BigEndian.Uint16(b))
	d.Destination = netip.AddrPortFrom(d.Destination.Addr(), to)
	d.Payload = b[header:length]
	return taken
}
