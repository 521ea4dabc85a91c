package replay_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// The options of an interface, and the types of blocks that are passed over.
const (
	optionName       = 2
	optionResolution = 9
	optionOffset     = 14

	blockObsoletePacket = 2
	blockNames          = 4
	blockStatistics     = 5
	blockSecrets        = 10
	blockPacket         = 6
	blockCustom         = 0xbad
)

// TestNgSections reads a file of two sections with different byte orders and interfaces, and other blocks between.
func TestNgSections(t *testing.T) {
	var file []byte
	for i, order := range []byteOrder{big, little} {
		file = ngSection(order, file)
		file = ngBlock(order, file, blockNames, make([]byte, 40))
		file = ngInterface(order, file, linkEthernet, ngOption{1, []byte("comment")}, ngOption{optionName, []byte("eth0")})
		file = ngBlock(order, file, blockCustom, make([]byte, 400<<10)) // larger than what is held of a file
		file = ngPacket(order, file, 0, 1_000_000, ethernet(datagram4("a"), 0x0800), 0)
		file = ngBlock(order, file, blockStatistics, make([]byte, 12))
		file = ngInterface(order, file, linkSLL2, ngOption{optionResolution, []byte{9}})
		file = ngPacket(order, file, 1, uint64(2+i)*1e9+5, sll2(7, 0, datagram6("bc"), 0x86dd), 0, ngOption{2, []byte{1, 0, 0, 0}}, ngOption{1, []byte("comment")})
		file = ngBlock(order, file, blockSecrets, make([]byte, 100))
		file = ngPacket(order, file, 2, 1e6, datagram4("an interface that is not there"), 0)
	}
	got := read(t, file, 9999)
	if !slices.Equal(got.payloads(), []string{"a", "bc", "a", "bc"}) || !maps.Equal(got.skips, map[string]uint64{"no_interface": 2}) {
		t.Fatalf("%v, %v, %v", got.payloads(), got.skips, got.breaks)
	}
	for i, want := range []time.Time{time.Unix(1, 0), time.Unix(2, 5), time.Unix(1, 0), time.Unix(3, 5)} {
		if !got.datagrams[i].Time.Equal(want) {
			t.Errorf("%d: %v, want %v", i, got.datagrams[i].Time, want)
		}
	}
}

// TestNgTimes: resolutions are powers of 10 or of 2, and an offset in seconds may be added.
func TestNgTimes(t *testing.T) {
	offset := func(seconds int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(seconds)) }
	for name, c := range map[string]struct {
		options []ngOption
		units   uint64
		want    time.Time // zero: the packet is skipped for want of one
	}{
		"microseconds, not told":   {nil, 1_755_532_567_502_843, captured},
		"seconds":                  {[]ngOption{{optionResolution, []byte{0}}}, 1_755_532_567, time.Unix(1_755_532_567, 0)},
		"milliseconds":             {[]ngOption{{optionResolution, []byte{3}}}, 1_755_532_567_502, time.Unix(1_755_532_567, 502e6)},
		"nanoseconds":              {[]ngOption{{optionResolution, []byte{9}}}, 1_755_532_567_502_843_001, captured.Add(1)},
		"picoseconds":              {[]ngOption{{optionResolution, []byte{12}}}, 12_000_000_034_999, time.Unix(12, 34)},
		"the finest decimal":       {[]ngOption{{optionResolution, []byte{19}}}, 1<<64 - 1, time.Unix(1, 844_674_407)},
		"too fine":                 {[]ngOption{{optionResolution, []byte{20}}}, 1<<64 - 1, time.Time{}},
		"far too fine":             {[]ngOption{{optionResolution, []byte{127}}}, 1, time.Time{}},
		"binary, milliseconds":     {[]ngOption{{optionResolution, []byte{0x80 | 10}}}, 5*1024 + 1023, time.Unix(5, 999_023_437)},
		"binary, NTP's":            {[]ngOption{{optionResolution, []byte{0x80 | 32}}}, 6<<32 - 1, time.Unix(5, 999_999_999)},
		"binary, a half":           {[]ngOption{{optionResolution, []byte{0x80 | 32}}}, 5<<32 | 1<<31, time.Unix(5, 5e8)},
		"binary, the finest":       {[]ngOption{{optionResolution, []byte{0x80 | 63}}}, 1<<64 - 1, time.Unix(1, 999_999_999)},
		"binary, too fine":         {[]ngOption{{optionResolution, []byte{0x80 | 64}}}, 1, time.Time{}},
		"an offset":                {[]ngOption{{optionOffset, offset(1_755_532_000)}}, 567_502_843, captured},
		"an offset back":           {[]ngOption{{optionOffset, offset(-433)}}, 1_755_533_000_502_843, captured},
		"back before 1970":         {[]ngOption{{optionOffset, offset(-2)}}, 1_000_000, time.Time{}},
		"an offset out of sight":   {[]ngOption{{optionOffset, offset(1<<63 - 1)}}, 1_000_000, time.Time{}},
		"out of sight":             {[]ngOption{{optionResolution, []byte{0}}}, 1<<64 - 1, time.Time{}},
		"after 2262":               {[]ngOption{{optionResolution, []byte{0}}}, 9_300_000_000, time.Time{}},
		"options of wrong lengths": {[]ngOption{{optionResolution, nil}, {optionOffset, []byte{1, 2, 3, 4}}}, 1_000_000, time.Unix(1, 0)},
	} {
		order := binary.BigEndian
		file := ngInterface(order, ngSection(order, nil), linkRaw, c.options...)
		file = ngPacket(order, file, 0, c.units, datagram4("a"), 0)
		got := read(t, file, 9999)
		switch {
		case c.want.IsZero():
			if !maps.Equal(got.skips, map[string]uint64{"no_time": 1}) {
				t.Errorf("%s: %v", name, got.skips)
			}
		case len(got.datagrams) != 1 || !got.datagrams[0].Time.Equal(c.want):
			t.Errorf("%s: %v, %v; want %v", name, got.datagrams, got.skips, c.want)
		}
	}
}

// TestNgOldBlocks: simple packets have no time; obsolete packet blocks are like today's, but for the interface's number.
func TestNgOldBlocks(t *testing.T) {
	for _, order := range byteOrders {
		packet := datagram4("a")
		simple := order.AppendUint32(nil, uint32(len(packet)))
		obsolete := order.AppendUint16(nil, 0)
		obsolete = order.AppendUint16(obsolete, 7) // packets lost
		for _, n := range []uint32{0, 5_000_000, uint32(len(packet)), uint32(len(packet))} {
			obsolete = order.AppendUint32(obsolete, n)
		}
		file := ngInterface(order, ngSection(order, nil), linkRaw)
		file = ngBlock(order, file, 3, append(simple, packet...))
		file = ngBlock(order, file, 2, append(obsolete, packet...))
		got := read(t, file, 9999)
		if !slices.Equal(got.payloads(), []string{"a"}) || !got.datagrams[0].Time.Equal(time.Unix(5, 0)) || got.skips["no_time"] != 1 {
			t.Errorf("%v: %v, %v", order, got.datagrams, got.skips)
		}
	}
}

// ngFile is a whole file of three packets in big-endian order.
func ngFile() []byte {
	order := binary.BigEndian
	file := ngInterface(order, ngSection(order, nil), linkRaw)
	for i, text := range []string{"a", "bc", ""} {
		file = ngPacket(order, file, 0, uint64(i), datagram4(text), 0)
	}
	return file
}

// TestNgCutOff cuts a file at each of its bytes.
func TestNgCutOff(t *testing.T) {
	file := ngFile()
	whole := map[int]int{len(file): 3} // packets, by where a block ends
	packets := 0
	for at := 0; at < len(file); {
		whole[at] = packets
		if binary.BigEndian.Uint32(file[at:]) == 6 {
			packets++
		}
		at += int(binary.BigEndian.Uint32(file[at+4:]))
	}
	want := 0
	for n := 4; n <= len(file); n++ {
		packets, ok := whole[n]
		if ok {
			want = packets
		}
		got := read(t, file[:n], 0)
		if len(got.datagrams) != want || got.skips["cut_off"] == 1 == ok {
			t.Errorf("%d of %d bytes: %d datagrams, %v; want %d", n, len(file), len(got.datagrams), got.skips, want)
		}
	}
}

// TestNgDamaged: a block whose frame is wrong ends the file, and one that is wrong inside is skipped alone.
func TestNgDamaged(t *testing.T) {
	order := binary.BigEndian
	start := ngInterface(order, ngSection(order, nil), linkRaw)
	first := ngPacket(order, bytes.Clone(start), 0, 1, datagram4("a"), 0)
	second := ngPacket(order, nil, 0, 2, datagram4("bc"), 0)
	third := ngPacket(order, nil, 0, 3, datagram4("d"), 0)
	damaged := func(at int, value uint32) []byte {
		b := bytes.Clone(second)
		order.PutUint32(b[(at+len(b))%len(b):], value)
		return b
	}
	for name, c := range map[string]struct {
		block []byte
		want  string
		whole bool // the third packet is read
	}{
		"too short for a block":        {damaged(4, 8), "damaged", false},
		"no multiple of 4":             {damaged(4, 61), "damaged", false},
		"of 4 GiB":                     {damaged(4, 1<<32-4), "damaged", false},
		"longer than the file":         {damaged(4, 400<<10), "cut_off", false},
		"a little longer":              {damaged(4, uint32(len(second)+4)), "damaged", false},
		"another length at its end":    {damaged(-4, 12), "damaged", false},
		"large, another at its end":    {append(damaged(4, 400<<10), make([]byte, 400<<10)...), "damaged", false},
		"more captured than the block": {damaged(20, 1000), "bad_length", true},
		"far more captured":            {damaged(20, 1<<32-1), "bad_length", true},
		"no room for a packet":         {ngBlock(order, nil, 6, make([]byte, 16)), "bad_length", true},
		"nothing in it":                {ngBlock(order, nil, 6, nil), "bad_length", true},
		"larger than any packet":       {ngPacket(order, nil, 0, 1, make([]byte, 400<<10), 0), "bad_length", true},
		"no such interface":            {damaged(8, 1), "no_interface", true},
		"no interface at all":          {damaged(8, 1<<32-1), "no_interface", true},
		"an interface without content": {ngBlock(order, nil, 1, nil), "damaged", false},
		"an enormous interface":        {ngBlock(order, nil, 1, make([]byte, 400<<10)), "damaged", false},
		"a section without content":    {ngBlock(order, nil, 0x0a0d0d0a, []byte{0x1a, 0x2b, 0x3c, 0x4d}), "damaged", false},
		"a section of no byte order":   {ngBlock(order, nil, 0x0a0d0d0a, make([]byte, 16)), "damaged", false},
		"a section of a new version":   {ngBlock(order, nil, 0x0a0d0d0a, []byte{0x1a, 0x2b, 0x3c, 0x4d, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), "damaged", false},
	} {
		got := read(t, slices.Concat(first, c.block, third), 9999)
		want := []string{"a"}
		if c.whole {
			want = append(want, "d")
		}
		if !slices.Equal(got.payloads(), want) || !maps.Equal(got.skips, map[string]uint64{c.want: 1}) {
			t.Errorf("%s: %v, %v; want %v and %s", name, got.payloads(), got.skips, want, c.want)
		}
	}
}

// TestNgManyInterfaces: a file may describe as many interfaces as it likes, and is not remembered without bound.
func TestNgManyInterfaces(t *testing.T) {
	order := little
	file := ngSection(order, nil)
	for range 1<<16 + 1 {
		file = ngInterface(order, file, linkRaw)
	}
	file = ngPacket(order, file, 1<<16-1, 1, datagram4("a"), 0)
	file = ngPacket(order, file, 1<<16, 1, datagram4("b"), 0)
	if got := read(t, file, 0); !slices.Equal(got.payloads(), []string{"a"}) || got.skips["no_interface"] != 1 {
		t.Errorf("%v, %v", got.payloads(), got.skips)
	}
}

func TestNgBreak(t *testing.T) {
	file := ngFile()
	got := read(t, file[:len(file)-1], 0)
	if len(got.breaks) != 1 || !strings.Contains(got.breaks[0].Error(), "standard input breaks off at its record 3: cut off") {
		t.Errorf("%v", got.breaks)
	}
}
