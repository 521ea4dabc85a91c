package replay_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"
)

// TestPcapgoFaults is why this package has readers of its own: what gopacket's (1.7.7) make of files that are damaged, or
// merely unusual, and what these make of the same bytes. It fails too when gopacket has come to do better: look then
// whether its readers serve.
func TestPcapgoFaults(t *testing.T) {
	first, second := datagram4("a"), datagram4("b") // of 29 bytes
	interfaces := ngInterface(little, ngSection(little, nil), linkRaw)
	longer := func(kind uint32, header []byte, more int) []byte {
		for _, n := range []int{0, 0, len(first) + more, len(first) + more} { // the time, captured, on the wire
			header = little.AppendUint32(header, uint32(n))
		}
		file := ngBlock(little, bytes.Clone(interfaces), kind, append(header, first...))
		return ngPacket(little, file, 0, 0, second, 0)
	}
	cutOff := pcapFile(linkRaw, first, second)
	fine := ngInterface(little, ngSection(little, nil), linkRaw, ngOption{optionResolution, []byte{0x80 | 30}})

	for _, c := range []struct {
		name     string
		file     []byte
		gopacket string // its packets by length and time, and how it ends
		want     []string
		skips    map[string]uint64
	}{
		{"cut off behind a packet's header: a good end", cutOff[:len(cutOff)-len(second)],
			"29 bytes of 15:56:07.502843, EOF", []string{"a 15:56:07.502843"}, map[string]uint64{"cut_off": 1}},
		{"shorter on the wire than captured: no more packets", pcapRecord(little, pcapFile(linkRaw), 0, 0, second, -1),
			"capture length exceeds original packet length: 29 > 28", []string{"b 00:00:00"}, nil},
		{"longer than its block: no more packets", longer(blockPacket, make([]byte, 4), 100),
			"unexpected EOF", []string{"b 00:00:00"}, map[string]uint64{"bad_length": 1}},
		{"longer than its block of the old kind: bytes that are none of its own", longer(blockObsoletePacket, make([]byte, 4), 4),
			"33 bytes of 00:00:00, 29 bytes of 00:00:00, EOF", []string{"b 00:00:00"}, map[string]uint64{"bad_length": 1}},
		{"units of 2^-30 s: 74 ms too late", ngPacket(little, fine, 0, 6<<30-1, first, 0),
			"29 bytes of 00:00:06.073741823, EOF", []string{"a 00:00:05.999999999"}, nil},
		{"of no interface: no more packets", ngPacket(little, ngPacket(little, bytes.Clone(interfaces), 7, 0, first, 0), 0, 0, second, 0),
			"Interface id 7 not present in section (have only 1 interfaces)", []string{"b 00:00:00"}, map[string]uint64{"no_interface": 1}},
	} {
		if got := readWithGopacket(t, c.file); got != c.gopacket {
			t.Errorf("%s: gopacket reads %q, not %q", c.name, got, c.gopacket)
		}
		var payloads []string
		got := read(t, c.file, 0)
		for _, d := range got.datagrams {
			payloads = append(payloads, fmt.Sprintf("%s %s", d.Payload, d.Time.Format(timeOfDay)))
		}
		if !slices.Equal(payloads, c.want) || !maps.Equal(got.skips, c.skips) {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, payloads, got.skips, c.want, c.skips)
		}
	}

	// It remembers every name that a file says of an address, though nobody asked.
	const names = 1000
	record := append([]byte{1, 0, 6, 0}, "\x0a\x00\x00\x01a\x00\x00\x00"...)
	file := ngBlock(little, interfaces, blockNames, append(bytes.Repeat(record, names), 0, 0, 0, 0))
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.ReadPacketData(); r.NNames() != names {
		t.Errorf("gopacket keeps %d names of %d: %v", r.NNames(), names, err)
	}
}

const timeOfDay = "15:04:05.999999999"

// readWithGopacket returns what gopacket finds in a file.
func readWithGopacket(t *testing.T, file []byte) (text string) {
	t.Helper()
	var r gopacket.PacketDataSource
	r, err := pcapgo.NewReader(bytes.NewReader(file))
	if err != nil {
		r, err = pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, info, err := r.ReadPacketData()
		if err != nil {
			return text + err.Error()
		}
		text += fmt.Sprintf("%d bytes of %s, ", len(b), info.Timestamp.In(time.UTC).Format(timeOfDay))
	}
}
