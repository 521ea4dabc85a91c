package replay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// The types of blocks that are read; all others are passed over.
const (
	blockSection        = 0x0a0d0d0a // the same in either byte order
	blockInterface      = 1
	blockObsoletePacket = 2
	blockSimplePacket   = 3
	blockPacket         = 6
)

const (
	blockFrame    = 12      // bytes of any block: its type, and its length before and after what is in it
	maxBlock      = 1 << 30 // bytes; a longer one is no block: its length is damaged
	maxInterfaces = 1 << 16 // of a section; packets of further ones are skipped
)

// ngReader reads a pcapng file: blocks, in sections that each have their byte order and their interfaces.
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html
//
// It reads the blocks itself because files come from anywhere: gopacket's pcapgo (1.7.7) follows a packet's length past the
// end of its block, keeps every name that a file resolves, ends at a packet whose interface is not described, and is off by
// up to 7 % of a second where the unit of time is a power of 2. The tests hold this reader against it where it is right.
type ngReader struct {
	from       *bufio.Reader // of bufferSize
	order      binary.ByteOrder
	interfaces []ngInterface
	packets    packetReader
	held       int // bytes of the last block, which its datagram still points into
}

// ngInterface is what a section says of an interface.
type ngInterface struct {
	linkType uint16
	units    uint64 // of time, in a second; 0 if there are too many of them
	offset   int64  // seconds to be added
}

func newNgReader(from *bufio.Reader, packets packetReader) *ngReader {
	return &ngReader{from: from, packets: packets, order: binary.LittleEndian}
}

func (r *ngReader) next() (Datagram, skip, error) {
	for {
		kind, block, err := r.block()
		if err != nil {
			return Datagram{}, taken, err
		}
		switch kind {
		case blockSection:
			err = r.section(block)
		case blockInterface:
			err = r.iface(block)
		case blockPacket, blockObsoletePacket:
			d, why := r.packet(kind, block)
			return d, why, nil
		case blockSimplePacket:
			return Datagram{}, skipNoTime, nil
		}
		if err != nil {
			return Datagram{}, taken, err
		}
	}
}

// block returns the next block's type and what is in it, until the next call. Blocks that are larger than the buffer and
// need not be read are passed over, as nil.
func (r *ngReader) block() (kind uint32, content []byte, err error) {
	r.from.Discard(r.held)
	r.held = 0
	head, err := peek(r.from, 12)
	if err != nil {
		return 0, nil, err
	}
	if kind = binary.LittleEndian.Uint32(head); kind == blockSection {
		if r.order = sectionOrder(head[8:]); r.order == nil {
			return 0, nil, &damage{"a section of neither byte order"}
		}
	}
	kind = r.order.Uint32(head)
	length := r.order.Uint32(head[4:])
	if length < blockFrame || length%4 != 0 || length > maxBlock {
		return 0, nil, &damage{fmt.Sprintf("a block of %d bytes", length)}
	}
	if length > bufferSize {
		return kind, nil, r.pass(int(length))
	}
	block, err := r.from.Peek(int(length))
	if err != nil {
		return 0, nil, inside(err)
	}
	r.held = len(block)
	return kind, block[8 : length-4], r.closes(block[length-4:], length)
}

// pass passes over a block that is larger than the buffer.
func (r *ngReader) pass(length int) error {
	if _, err := r.from.Discard(length - 4); err != nil {
		return inside(err)
	}
	tail, err := r.from.Peek(4)
	if err != nil {
		return inside(err)
	}
	r.held = 4
	return r.closes(tail, uint32(length))
}

// closes checks the length at the end of a block against the one at its beginning.
func (r *ngReader) closes(tail []byte, length uint32) error {
	if end := r.order.Uint32(tail); end != length {
		return &damage{fmt.Sprintf("a block that begins with the length %d and ends with %d", length, end)}
	}
	return nil
}

// sectionOrder returns the byte order that a section's magic tells, nil if it is none.
func sectionOrder(magic []byte) binary.ByteOrder {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(magic) == 0x1a2b3c4d {
			return order
		}
	}
	return nil
}

// section begins a section, with no interface yet.
func (r *ngReader) section(block []byte) error {
	if len(block) < 16 {
		return &damage{"a section header of the wrong length"}
	}
	if major, minor := r.order.Uint16(block[4:]), r.order.Uint16(block[6:]); major != 1 {
		return &damage{fmt.Sprintf("version %d.%d of pcapng is not read, only 1", major, minor)}
	}
	r.interfaces = r.interfaces[:0]
	return nil
}

// Options of an interface.
const (
	optionEnd        = 0
	optionResolution = 9
	optionOffset     = 14
)

// iface adds an interface to the section.
func (r *ngReader) iface(block []byte) error {
	if len(block) < 8 {
		return &damage{"an interface description of the wrong length"}
	}
	if len(r.interfaces) == maxInterfaces {
		return nil
	}
	in := ngInterface{linkType: r.order.Uint16(block), units: 1e6}
	for options := block[8:]; len(options) >= 4; {
		option, length := r.order.Uint16(options), int(r.order.Uint16(options[2:]))
		options = options[4:]
		if option == optionEnd || length > len(options) {
			break
		}
		switch value := options[:length]; {
		case option == optionResolution && length == 1:
			in.units = units(value[0])
		case option == optionOffset && length == 8:
			in.offset = int64(r.order.Uint64(value))
		}
		options = options[min((length+3)&^3, len(options)):]
	}
	r.interfaces = append(r.interfaces, in)
	return nil
}

// units returns how many units of time an interface's resolution makes of a second: a power of 10, or of 2 with the upper
// bit set. 0 if they are more than a uint64 holds.
func units(resolution byte) uint64 {
	exponent := resolution & 0x7f
	if resolution&0x80 != 0 {
		return 1 << exponent // 0 from 64 on
	}
	if exponent > 19 {
		return 0
	}
	n := uint64(1)
	for range exponent {
		n *= 10
	}
	return n
}

// time returns the time of so many units; false if it is outside the years that are read.
func (in *ngInterface) time(units uint64) (time.Time, bool) {
	if in.units == 0 {
		return time.Time{}, false
	}
	seconds, rest := units/in.units, units%in.units
	if seconds > 1<<62 || in.offset > 1<<62 || in.offset < -1<<62 {
		return time.Time{}, false
	}
	s := int64(seconds) + in.offset
	high, low := bits.Mul64(rest, uint64(time.Second))
	ns, _ := bits.Div64(high, low, in.units) // rest < units: less than a second
	return time.Unix(s, int64(ns)).UTC(), s >= 0 && s <= maxSeconds
}

// packet returns the datagram of a packet's block, or why there is none.
func (r *ngReader) packet(kind uint32, block []byte) (Datagram, skip) {
	const fixed = 20
	if len(block) < fixed {
		return Datagram{}, skipBadLength // block that is larger than the buffer too: more than any packet
	}
	number := r.order.Uint32(block)
	if kind == blockObsoletePacket {
		number = uint32(r.order.Uint16(block)) // behind it, a count of lost packets
	}
	if number >= uint32(len(r.interfaces)) {
		return Datagram{}, skipNoInterface
	}
	in := &r.interfaces[number]
	at, ok := in.time(uint64(r.order.Uint32(block[4:]))<<32 | uint64(r.order.Uint32(block[8:])))
	if !ok {
		return Datagram{}, skipNoTime
	}
	captured, length := r.order.Uint32(block[12:]), r.order.Uint32(block[16:])
	if captured > uint32(len(block)-fixed) {
		return Datagram{Time: at}, skipBadLength
	}
	p := packet{time: at, linkType: in.linkType, bytes: block[fixed : fixed+captured], truncated: int(max(length, captured) - captured)}
	if len(r.interfaces) > 1 {
		p.iface = number + 1
	}
	return r.packets.read(p)
}
