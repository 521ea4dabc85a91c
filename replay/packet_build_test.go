package replay_test

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Captures built by hand, byte for byte as the formats have them: what the readers are held against.

// byteOrder is what a capturing host's byte order does.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var (
	little     = binary.LittleEndian
	big        = binary.BigEndian
	byteOrders = []byteOrder{little, big}
)

// Link types.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

var (
	engine4  = netip.MustParseAddrPort("172.17.0.3:41000")
	gateway4 = netip.MustParseAddrPort("172.17.0.1:9999")
	engine6  = netip.MustParseAddrPort("[fd00::3]:41000")
	gateway6 = netip.MustParseAddrPort("[fd00::1]:9999")
)

// captured is when the first packet of a built capture was.
var captured = time.Unix(1_755_532_567, 502_843_000).UTC()

// udp returns a UDP segment.
func udp(source, destination int, payload string) []byte {
	b := be16(nil, source, destination, 8+len(payload), 0xdead) // a wrong checksum
	return append(b, payload...)
}

// ipv4 returns an IPv4 packet with the options and flags given.
func ipv4(from, to netip.Addr, protocol byte, flags int, options, content []byte) []byte {
	b := []byte{byte(0x40 | (20+len(options))/4), 0}
	b = be16(b, 20+len(options)+len(content), 0x1234, flags)
	b = append(b, 64, protocol, 0xba, 0xad)
	b = append(b, from.AsSlice()...)
	b = append(b, to.AsSlice()...)
	b = append(b, options...)
	return append(b, content...)
}

// ipv6 returns an IPv6 packet; its content may begin with extension headers.
func ipv6(from, to netip.Addr, next byte, content []byte) []byte {
	b := []byte{0x60, 0, 0, 0}
	b = be16(b, len(content))
	b = append(b, next, 64)
	b = append(b, from.AsSlice()...)
	b = append(b, to.AsSlice()...)
	return append(b, content...)
}

// datagram4 and datagram6 are IP packets with a UDP datagram to the gateway.
func datagram4(payload string) []byte {
	return ipv4(engine4.Addr(), gateway4.Addr(), 17, 0x4000, nil, udp(41000, 9999, payload))
}

func datagram6(payload string) []byte {
	return ipv6(engine6.Addr(), gateway6.Addr(), 17, udp(41000, 9999, payload))
}

// ethernet returns an Ethernet frame: addresses, the EtherTypes in turn, a VLAN's number behind each but the last.
func ethernet(content []byte, etherTypes ...int) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3}
	return tagged(b, content, etherTypes...)
}

func tagged(b, content []byte, etherTypes ...int) []byte {
	for i, etherType := range etherTypes {
		if i > 0 {
			b = be16(b, 100+i)
		}
		b = be16(b, etherType)
	}
	return append(b, content...)
}

// sll and sll2 return packets of Linux cooked captures, v1 and v2, seen going in the direction given.
func sll(direction int, content []byte, etherTypes ...int) []byte {
	b := be16(nil, direction, 1, 6)
	b = append(b, 2, 0, 0, 0, 0, 3, 0, 0)
	return tagged(b, content, etherTypes...)
}

func sll2(index, direction int, content []byte, etherTypes ...int) []byte {
	b := be16(nil, etherTypes[0], 0, 0, index, 1)
	b = append(b, byte(direction), 6, 2, 0, 0, 0, 0, 3, 0, 0)
	for _, etherType := range etherTypes[1:] {
		b = be16(b, 100, etherType)
	}
	return append(b, content...)
}

// be16 appends 16 bit numbers in network byte order.
func be16(b []byte, numbers ...int) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return b
}

// pcapHeader returns the header of a pcap file: the magic number of microseconds or nanoseconds.
func pcapHeader(order byteOrder, magic, linkType uint32) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	for _, n := range []uint32{0, 0, 262144, linkType} {
		b = order.AppendUint32(b, n)
	}
	return b
}

const (
	microseconds = 0xa1b2c3d4
	nanoseconds  = 0xa1b23c4d
)

// pcapRecord appends a packet that had more bytes on the wire than were captured, by more.
func pcapRecord(order byteOrder, b []byte, seconds, fraction uint32, packet []byte, more int) []byte {
	for _, n := range []uint32{seconds, fraction, uint32(len(packet)), uint32(len(packet) + more)} {
		b = order.AppendUint32(b, n)
	}
	return append(b, packet...)
}

// pcapFile returns a little-endian file of packets a millisecond apart.
func pcapFile(linkType uint32, packets ...[]byte) []byte {
	b := pcapHeader(little, microseconds, linkType)
	for i, packet := range packets {
		at := captured.Add(time.Duration(i) * time.Millisecond)
		b = pcapRecord(little, b, uint32(at.Unix()), uint32(at.Nanosecond()/1000), packet, 0)
	}
	return b
}

// ngBlock appends a block of pcapng.
func ngBlock(order byteOrder, b []byte, kind uint32, content []byte) []byte {
	length := uint32(12 + (len(content)+3)&^3)
	b = order.AppendUint32(b, kind)
	b = order.AppendUint32(b, length)
	b = append(b, content...)
	b = append(b, make([]byte, int(length)-12-len(content))...)
	return order.AppendUint32(b, length)
}

// ngSection appends a section's header.
func ngSection(order byteOrder, b []byte) []byte {
	content := order.AppendUint32(nil, 0x1a2b3c4d)
	content = order.AppendUint16(content, 1)
	content = order.AppendUint16(content, 0)
	content = order.AppendUint64(content, 1<<64-1)
	return ngBlock(order, b, 0x0a0d0d0a, content)
}

// ngOption is an option of a block.
type ngOption struct {
	code  uint16
	value []byte
}

func ngOptions(order byteOrder, b []byte, options ...ngOption) []byte {
	for _, option := range append(options, ngOption{}) {
		b = order.AppendUint16(b, option.code)
		b = order.AppendUint16(b, uint16(len(option.value)))
		b = append(b, option.value...)
		b = append(b, make([]byte, -len(option.value)&3)...)
	}
	return b
}

// ngInterface appends an interface's description.
func ngInterface(order byteOrder, b []byte, linkType uint16, options ...ngOption) []byte {
	content := order.AppendUint16(nil, linkType)
	content = order.AppendUint16(content, 0)
	content = order.AppendUint32(content, 262144)
	return ngBlock(order, b, 1, ngOptions(order, content, options...))
}

// ngPacket appends an enhanced packet block.
func ngPacket(order byteOrder, b []byte, number uint32, units uint64, packet []byte, more int, options ...ngOption) []byte {
	var content []byte
	for _, n := range []uint32{number, uint32(units >> 32), uint32(units), uint32(len(packet)), uint32(len(packet) + more)} {
		content = order.AppendUint32(content, n)
	}
	content = append(content, packet...)
	content = append(content, make([]byte, -len(packet)&3)...)
	return ngBlock(order, b, 6, ngOptions(order, content, options...))
}
