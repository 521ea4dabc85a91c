package replay_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/elrar/state-gateway/replay"
)

// BenchmarkRead reads captures of datagrams of the usual size. An operation is a record; MB/s are of the capture, uncompressed.
func BenchmarkRead(b *testing.B) {
	lines := stateLog(captured, 1000)
	_, line, _ := bytes.Cut(lines[:bytes.IndexByte(lines, '\n')-1], []byte(`"state": `))
	packet := datagram4(string(line))
	frame := ethernet(packet, 0x0800)
	ngHead := ngInterface(little, ngSection(little, nil), linkEthernet)
	// records is what is repeated, of so many records.
	for _, c := range []struct {
		name          string
		head, records []byte
		count         int
	}{
		{"log", nil, lines, 1000},
		{"log, compact", nil, bytes.ReplaceAll(lines, []byte(": "), []byte(":")), 1000},
		{"pcap, Ethernet", pcapFile(linkEthernet), pcapFile(linkEthernet, frame)[24:], 1},
		{"pcap, cooked v2", pcapFile(linkSLL2), pcapFile(linkSLL2, sll2(1, 0, packet, 0x0800))[24:], 1},
		{"pcapng", ngHead, ngPacket(little, nil, 0, 1_755_532_567_502_843, frame, 0), 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmarkRead(b, &repeated{c.head, c.records, -1, nil}, len(c.records)/c.count)
		})
	}
	for name, compress := range compressions {
		compressed := compress(lines)
		b.Run("log, "+name, func(b *testing.B) {
			benchmarkRead(b, &repeated{nil, compressed, -1, nil}, len(lines)/1000)
		})
	}
}

func benchmarkRead(b *testing.B, from io.Reader, size int) {
	c, err := replay.Open([]string{"-"}, replay.ReadOptions{Stdin: from})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// compressions are what compresses a file, by name.
var compressions = map[string]func([]byte) []byte{
	"gzip": func(content []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(content)
		w.Close()
		return b.Bytes()
	},
	"zstd": func(content []byte) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		w.Write(content)
		w.Close()
		return b.Bytes()
	},
}
