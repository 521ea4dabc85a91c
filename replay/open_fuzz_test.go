package replay_test

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/elrar/state-gateway/replay"
)

// readAny reads whatever bytes there are: in one piece and byte by byte, which must come to the same. It returns false if
// they are no capture.
func readAny(t *testing.T, content []byte) (reading, bool) {
	c, err := replay.Open([]string{"-"}, replay.ReadOptions{Port: 9999, Stdin: bytes.NewReader(content)})
	if err != nil {
		return reading{}, false
	}
	whole := readAll(t, c)
	if n := whole.progress.Bytes; n > int64(len(content)) || len(whole.breaks) == 0 && n != int64(len(content)) {
		t.Errorf("%d of %d bytes read, %v", n, len(content), whole.breaks)
	}
	c, err = replay.Open([]string{"-"}, replay.ReadOptions{Port: 9999, Stdin: iotest.OneByteReader(bytes.NewReader(content))})
	if err != nil {
		t.Fatalf("no capture any more, byte by byte: %v", err)
	}
	again := readAll(t, c)
	if !slices.EqualFunc(whole.datagrams, again.datagrams, equal) || !maps.Equal(whole.skips, again.skips) {
		t.Errorf("%d datagrams and %v; byte by byte %d and %v", len(whole.datagrams), whole.skips, len(again.datagrams), again.skips)
	}
	return whole, true
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bounded reads any bytes and holds the readers to a few megabytes, whatever lengths the bytes tell.
func bounded(t *testing.T, content []byte) (r reading, ok bool) {
	if n := allocated(func() { r, ok = readAny(t, content) }); n > 16<<20+100*uint64(len(content)) {
		t.Errorf("%d MiB for %d bytes", n>>20, len(content))
	}
	return r, ok
}

func FuzzPcap(f *testing.F) {
	for _, order := range byteOrders {
		for _, magic := range []uint32{microseconds, nanoseconds} {
			for linkType, packet := range map[uint32][]byte{
				linkEthernet: ethernet(datagram4(payload), 0x8100, 0x0800), linkSLL: sll(0, datagram6(payload), 0x86dd), linkSLL2: sll2(1, 4, datagram4(""), 0x0800),
				linkNull: append([]byte{2, 0, 0, 0}, datagram4(payload)...), linkRaw: ipv6(engine6.Addr(), gateway6.Addr(), 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, payload...)),
			} {
				file := pcapRecord(order, pcapHeader(order, magic, linkType), 1, 2, packet, 0)
				f.Add(pcapRecord(order, file, 3, 4, packet[:len(packet)/2], len(packet)/2))
			}
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		got, ok := bounded(t, content)
		if !ok || !bytes.HasPrefix(content, pcapHeader(little, microseconds, 0)[:4]) {
			return
		}
		// gopacket stops where a packet has more bytes than it had on the wire, and this package goes on.
		theirs := uint64(0)
		if r, err := pcapgo.NewReader(bytes.NewReader(content)); err == nil {
			r.SetSnaplen(0) // at most libpcap's limit
			for {
				if _, _, err := r.ZeroCopyReadPacketData(); err != nil {
					break
				}
				theirs++
			}
		}
		if got.progress.Records < theirs {
			t.Errorf("%d records, and gopacket finds %d", got.progress.Records, theirs)
		}
	})
}

func FuzzPcapng(f *testing.F) {
	f.Add(ngFile())
	for _, order := range byteOrders {
		file := ngInterface(order, ngSection(order, nil), linkEthernet, ngOption{9, []byte{0x80 | 32}}, ngOption{14, make([]byte, 8)})
		file = ngInterface(order, file, linkSLL2, ngOption{2, []byte("any")})
		file = ngPacket(order, file, 0, 1e6, ethernet(datagram4(payload), 0x0800), 0)
		file = ngPacket(order, file, 1, 1e6, sll2(3, 0, datagram6(payload), 0x86dd), 20, ngOption{1, []byte("comment")})
		file = ngBlock(order, file, 3, append(order.AppendUint32(nil, 40), datagram4(payload)...))
		f.Add(ngPacket(order, ngSection(order, file), 0, 1, datagram4(payload), 0))
	}
	f.Fuzz(func(t *testing.T, content []byte) { bounded(t, content) })
}

func FuzzLog(f *testing.F) {
	f.Add(logOf("a", 1, 2.5))
	f.Add([]byte(`{"state":{"a":[1,{"b":"\u007d"}]},"timestamp":1.5e9, "x": null}` + "\n\n{\"timestamp\": 1, \"state\": {"))
	f.Add(stateLog(captured, 3))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, _ := bounded(t, content)
		for _, d := range got.datagrams {
			if bytes.HasPrefix(content, []byte("{")) && !bytes.Contains(content, d.Payload) {
				t.Errorf("%q is not in it", d.Payload)
			}
		}
	})
}

func FuzzCompressed(f *testing.F) {
	for _, compress := range compressions {
		for _, content := range [][]byte{logOf("a", 1, 2), pcapOf("a", 1, 2), ngFile(), nil} {
			f.Add(compress(content))
			f.Add(slices.Concat(compress(content), compress(content)))
		}
	}
	f.Add([]byte("\x1f\x8b\b0000000")) // klauspost/compress says io.EOF of this
	f.Fuzz(func(t *testing.T, content []byte) { readAny(t, content) })
}
