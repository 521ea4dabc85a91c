package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxPacket is the longest packet that is read, libpcap's MAXIMUM_SNAPLEN. A longer one is no packet: its length is damaged.
const maxPacket = 256 << 10

const (
	pcapHeader   = 24 // bytes before the first packet
	packetHeader = 16 // bytes before each
)

// pcapReader reads a pcap file: a header, and packets each with a header of its own.
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
//
// gopacket's pcapgo (1.7.7) does not serve here: a file that is cut off behind a packet's header ends without an error for it,
// and a packet with more bytes than it had on the wire, which tcpdump reads, ends the file. See also ngReader.
type pcapReader struct {
	from     *bufio.Reader // of at least packetHeader + maxPacket bytes
	order    binary.ByteOrder
	unit     time.Duration // of the fraction of a second
	linkType uint16
	packets  packetReader
	held     int // bytes of the last packet, which its datagram still points into
}

// pcapFormat returns the byte order and the unit of time that the first bytes of a pcap file say; nil if it is none.
func pcapFormat(magic [4]byte) (binary.ByteOrder, time.Duration) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(magic[:]) {
		case 0xa1b2c3d4:
			return order, time.Microsecond
		case 0xa1b23c4d:
			return order, time.Nanosecond
		}
	}
	return nil, 0
}

func isPcap(magic [4]byte) bool {
	order, _ := pcapFormat(magic)
	return order != nil
}

func newPcapReader(from *bufio.Reader, packets packetReader) (records, error) {
	header, err := peek(from, pcapHeader)
	if err != nil {
		return nil, err
	}
	r := &pcapReader{from: from, packets: packets, held: pcapHeader}
	r.order, r.unit = pcapFormat([4]byte(header))
	if major, minor := r.order.Uint16(header[4:]), r.order.Uint16(header[6:]); major != 2 || minor != 4 {
		return nil, &damage{fmt.Sprintf("version %d.%d of pcap is not read, only 2.4", major, minor)}
	}
	r.linkType = uint16(r.order.Uint32(header[20:])) // the upper half says how long the Ethernet checksums are
	return r, nil
}

func (r *pcapReader) next() (Datagram, skip, error) {
	r.from.Discard(r.held)
	r.held = 0
	header, err := peek(r.from, packetHeader)
	if err != nil {
		return Datagram{}, taken, err
	}
	captured, length := r.order.Uint32(header[8:]), r.order.Uint32(header[12:])
	if captured > maxPacket {
		return Datagram{}, taken, &damage{fmt.Sprintf("a packet of %d bytes", captured)}
	}
	at := time.Unix(int64(r.order.Uint32(header)), int64(r.order.Uint32(header[4:]))*int64(r.unit)).UTC()
	record, err := r.from.Peek(packetHeader + int(captured))
	if err != nil {
		return Datagram{}, taken, inside(err)
	}
	r.held = len(record)
	d, why := r.packets.read(packet{
		time: at, linkType: r.linkType, bytes: record[packetHeader:], truncated: int(max(length, captured) - captured),
	})
	return d, why, nil
}

// damage says that a file makes no sense from here on.
type damage struct{ what string }

func (d *damage) Error() string { return d.what }

// peek returns the next n bytes of a file of binary records. The error is io.EOF only if there is none left.
func peek(from *bufio.Reader, n int) ([]byte, error) {
	b, err := from.Peek(n)
	if err != nil && len(b) > 0 {
		err = inside(err)
	}
	return b, err
}

// inside returns what an error of reading means in the middle of a record.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
