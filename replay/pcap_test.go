package replay_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPcapForms reads files of both byte orders and both units of time.
func TestPcapForms(t *testing.T) {
	for _, order := range byteOrders {
		for magic, unit := range map[uint32]time.Duration{microseconds: time.Microsecond, nanoseconds: 1} {
			file := pcapHeader(order, magic, linkRaw)
			file = pcapRecord(order, file, 1_755_532_567, 502_843, datagram4("a"), 0)
			file = pcapRecord(order, file, 1<<32-1, 999_999, datagram6("b"), 0)
			got := read(t, file, 9999)
			if !slices.Equal(got.payloads(), []string{"a", "b"}) || len(got.skips) != 0 {
				t.Fatalf("%v, %v: %v, %v", order, unit, got.payloads(), got.skips)
			}
			for i, want := range []time.Time{time.Unix(1_755_532_567, 502_843*int64(unit)), time.Unix(1<<32-1, 999_999*int64(unit))} {
				if !got.datagrams[i].Time.Equal(want) {
					t.Errorf("%v, %v: %v, want %v", order, unit, got.datagrams[i].Time, want)
				}
			}
		}
	}
}

// TestPcapCutOff cuts a file at each of its bytes: the packets before it stand, and it counts as cut off unless it is cut
// between two of them.
func TestPcapCutOff(t *testing.T) {
	packets := [][]byte{datagram4("a"), datagram6("bc"), datagram4("")}
	file := pcapFile(linkRaw, packets...)
	ends := []int{24}
	for _, packet := range packets {
		ends = append(ends, ends[len(ends)-1]+16+len(packet))
	}
	for n := 4; n < len(file); n++ {
		want, whole := 0, slices.Contains(ends, n)
		for _, end := range ends[1:] {
			if n >= end {
				want++
			}
		}
		got := read(t, file[:n], 0)
		if len(got.datagrams) != want || got.skips["cut_off"] == 1 == whole {
			t.Errorf("%d of %d bytes: %d datagrams, %v; want %d", n, len(file), len(got.datagrams), got.skips, want)
		}
		if !whole && !strings.Contains(got.breaks[0].Error(), "cut off in the middle of a record") {
			t.Errorf("%d bytes: %v", n, got.breaks)
		}
	}
}

// TestPcapDamaged: what comes before a length that cannot be stands, and what comes behind it is lost.
func TestPcapDamaged(t *testing.T) {
	order := little
	largest := ipv4(engine4.Addr(), gateway4.Addr(), 17, 0, nil, udp(1, 9999, "a"))
	largest = append(largest, make([]byte, 256<<10-len(largest))...)
	for name, c := range map[string]struct {
		length uint32
		want   map[string]uint64
	}{
		"the longest packet":  {256 << 10, map[string]uint64{}},
		"too long":            {256<<10 + 1, map[string]uint64{"damaged": 1}},
		"as long as can be":   {1<<32 - 1, map[string]uint64{"damaged": 1}},
		"longer than what is": {200 << 10, map[string]uint64{"cut_off": 1}},
	} {
		file := pcapFile(linkRaw, datagram4("before"))
		if c.length == 256<<10 {
			file = pcapRecord(order, file, 1, 2, largest, 0)
		} else {
			for _, n := range []uint32{1, 2, c.length, c.length} {
				file = order.AppendUint32(file, n)
			}
			file = append(file, make([]byte, 100<<10)...)
		}
		got := read(t, file, 9999)
		if len(got.datagrams) != 2-len(c.want) || !maps.Equal(got.skips, c.want) {
			t.Errorf("%s: %d datagrams, %v", name, len(got.datagrams), got.skips)
		}
	}
}

func TestPcapVersion(t *testing.T) {
	file := pcapFile(linkRaw, datagram4("a"))
	file[6] = 3
	got := read(t, file, 0)
	if !maps.Equal(got.skips, map[string]uint64{"damaged": 1}) || !strings.Contains(got.breaks[0].Error(), "version 2.3 of pcap") {
		t.Errorf("%v, %v", got.skips, got.breaks)
	}
}
