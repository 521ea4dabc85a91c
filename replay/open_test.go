package replay_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/replay"
)

// writeFiles writes files into a directory of their own and returns its path.
func writeFiles(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readFiles reads files of a directory.
func readFiles(t *testing.T, dir string, names ...string) reading {
	t.Helper()
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	c, err := replay.Open(names, replay.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, c)
}

// logOf returns a log with a line for each of the times, in seconds, whose state is the name and the time.
func logOf(name string, times ...float64) []byte {
	var b []byte
	for _, at := range times {
		b = fmt.Appendf(b, `{"timestamp": %.6f, "state": {"%s": %v}}`+"\n", at, name, at)
	}
	return b
}

// pcapOf returns the same as a capture of packets.
func pcapOf(name string, times ...float64) []byte {
	b := pcapHeader(big, nanoseconds, linkRaw)
	for _, at := range times {
		b = pcapRecord(big, b, uint32(at), uint32(uint64(at*1e9)%1e9), datagram4(fmt.Sprintf(`{"%s": %v}`, name, at)), 0)
	}
	return b
}

// TestRotatedSets reads the files that rotation leaves, in whatever order a shell lists them, in the order of their time.
func TestRotatedSets(t *testing.T) {
	gz, zst := compressions["gzip"], compressions["zstd"]
	for name, files := range map[string]map[string][]byte{
		"logrotate": {
			"engine_states.jsonl": logOf("d", 30, 31), "engine_states.jsonl.1": logOf("c", 20, 29.9), "engine_states.jsonl.2.gz": gz(logOf("b", 10)),
			"engine_states.jsonl.10.gz": gz(logOf("a", 1, 2, 3)),
		},
		"logrotate dateext": {
			"engine_states.jsonl": logOf("c", 20), "engine_states.jsonl-20261122.gz": gz(logOf("a", 1, 2)), "engine_states.jsonl-20261123": logOf("b", 10, 11),
		},
		"the gateway's own": {
			"engine_states.jsonl": logOf("c", 20), "engine_states-20261123T091500.000Z.jsonl.zst": zst(logOf("a", 1, 2)), "engine_states-20261123T101500.000Z.jsonl": logOf("b", 10, 11),
		},
		"just rotated": {"engine_states.jsonl": nil, "engine_states.jsonl.1": logOf("a", 1, 2)},
		"tcpdump -C":   {"c.pcap": pcapOf("a", 1, 2), "c.pcap1": pcapOf("b", 2, 3), "c.pcap10": pcapOf("d", 9), "c.pcap2": pcapOf("c", 3, 4, 5)},
		"mixed":        {"log": logOf("a", 1, 2), "pcap": pcapOf("b", 3, 4), "pcapng": ngFile()},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeFiles(t, files)
			names := slices.Sorted(maps.Keys(files))
			backwards := slices.Clone(names)
			slices.Reverse(backwards)
			var first []string
			for _, names := range [][]string{names, backwards} {
				got := readFiles(t, dir, names...)
				if !slices.IsSortedFunc(got.datagrams, func(a, b replay.Datagram) int { return a.Time.Compare(b.Time) }) || len(got.skips) != 0 {
					t.Errorf("%v, %v", got.payloads(), got.skips)
				}
				if first == nil {
					first = got.payloads()
				} else if !slices.Equal(first, got.payloads()) && name != "tcpdump -C" { // two are of one time there
					t.Errorf("in another order: %v and %v", first, got.payloads())
				}
				size := 0
				for _, content := range files {
					size += len(content)
				}
				if got.progress.Size != int64(size) || got.progress.Bytes != int64(size) {
					t.Errorf("%+v of %d bytes", got.progress, size)
				}
			}
		})
	}
}

// TestMerge: captures of the same time are merged; each keeps its own order, and of equal times the first goes first.
func TestMerge(t *testing.T) {
	dir := writeFiles(t, map[string][]byte{
		"a": logOf("a", 1, 3, 5, 5, 4.5, 9), // a clock that was set back in between
		"b": pcapOf("b", 2, 3, 6),
		"c": logOf("c", 5, 7),
		"d": append([]byte("no log line\n"), logOf("d", 8)...),
	})
	want := []string{`{"a": 1}`, `{"b": 2}`, `{"a": 3}`, `{"b": 3}`, `{"a": 5}`, `{"a": 5}`, `{"a": 4.5}`, `{"c": 5}`, `{"b": 6}`, `{"c": 7}`, `{"d": 8}`, `{"a": 9}`}
	for _, names := range [][]string{{"a", "b", "c", "d"}, {"d", "c", "b", "a"}} {
		got := readFiles(t, dir, names...)
		if !slices.Equal(got.payloads(), want) || !maps.Equal(got.skips, map[string]uint64{"not_a_log_line": 1}) {
			t.Errorf("%v, %v; want %v", got.payloads(), got.skips, want)
		}
	}
}

// TestManyFiles merges a thousand files that follow one another without holding them all in memory.
func TestManyFiles(t *testing.T) {
	const files = 1000
	all := map[string][]byte{}
	for i := range files {
		all[fmt.Sprint(i)] = compressions["gzip"](logOf("a", float64(i), float64(i)+0.5))
	}
	dir := writeFiles(t, all)
	var names []string
	for name := range all {
		names = append(names, filepath.Join(dir, name))
	}
	c, err := replay.Open(names, replay.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	largest := uint64(0)
	for i := range 2 * files {
		d, err := c.Next()
		if want := time.Unix(0, int64(i)*5e8); err != nil || !d.Time.Equal(want) {
			t.Fatalf("%d: %v, %v; want %v", i, d.Time, err, want)
		}
		if i%100 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			largest = max(largest, m.HeapAlloc)
		}
	}
	if largest > 64<<20 { // each open one has two buffers of 320 KiB: a thousand would be 640 MiB
		t.Errorf("%d MiB", largest>>20)
	}
}

// TestFormats reads every format, plain and compressed, from a file with a misleading name, a pipe and standard input.
func TestFormats(t *testing.T) {
	plain := map[string][]byte{"log": logOf("a", 1, 2, 3), "pcap": pcapOf("a", 1, 2, 3), "pcapng": nil}
	plain["pcapng"] = ngInterface(big, ngSection(big, nil), linkRaw)
	for i := range 3 {
		plain["pcapng"] = ngPacket(big, plain["pcapng"], 0, uint64(i+1)*1e6, datagram4(fmt.Sprintf(`{"a": %d}`, i+1)), 0)
	}
	want := []string{`{"a": 1}`, `{"a": 2}`, `{"a": 3}`}
	half := func(b []byte) (first, second []byte) { return b[:len(b)/2], b[len(b)/2:] }
	for format, content := range plain {
		for name, compress := range map[string]func([]byte) []byte{
			"plain": bytes.Clone,
			"gzip":  compressions["gzip"],
			"zstd":  compressions["zstd"],
			"gzip members": func(b []byte) []byte {
				first, second := half(b)
				return slices.Concat(compressions["gzip"](first), compressions["gzip"](nil), compressions["gzip"](second))
			},
			"zstd frames": func(b []byte) []byte {
				first, second := half(b)
				skippable := []byte{0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
				return slices.Concat(skippable, compressions["zstd"](first), skippable, compressions["zstd"](second))
			},
		} {
			t.Run(format+", "+name, func(t *testing.T) {
				compressed := compress(content)
				if got := read(t, compressed, 0); !slices.Equal(got.payloads(), want) || len(got.skips) != 0 || got.progress.Size != 0 || got.progress.Bytes != int64(len(compressed)) {
					t.Errorf("standard input: %v, %v, %+v", got.payloads(), got.skips, got.progress)
				}
				dir := writeFiles(t, map[string][]byte{"states.jsonl.gz": compressed})
				if got := readFiles(t, dir, "states.jsonl.gz"); !slices.Equal(got.payloads(), want) || got.progress.Size != int64(len(compressed)) {
					t.Errorf("file: %v, %v", got.payloads(), got.skips)
				}
				f, err := os.Open(filepath.Join(dir, "states.jsonl.gz"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				c, err := replay.Open([]string{"-"}, replay.ReadOptions{Stdin: f})
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, c); !slices.Equal(got.payloads(), want) || got.progress.Size != int64(len(compressed)) {
					t.Errorf("a file as standard input: %v, %v, %+v", got.payloads(), got.skips, got.progress)
				}
			})
		}
	}
}

// TestLive: a datagram is there as soon as it has come through the pipe, not when a buffer is full.
func TestLive(t *testing.T) {
	start := ngInterface(big, ngSection(big, nil), linkRaw)
	for name, pieces := range map[string][][]byte{
		"log":    {logOf("a", 1), logOf("a", 2), logOf("a", 3)},
		"pcap":   {pcapFile(linkRaw, datagram4("a")), pcapFile(linkRaw, datagram4("b"))[24:]},
		"pcapng": {ngPacket(big, start, 0, 1, datagram4("a"), 0), ngPacket(big, nil, 0, 1, datagram4("b"), 0)},
	} {
		r, w := io.Pipe()
		read := make(chan struct{})
		go func() {
			for _, piece := range pieces {
				w.Write(piece)
				<-read // nothing more comes before
			}
			w.Close()
		}()
		c, err := replay.Open([]string{"-"}, replay.ReadOptions{Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		for i := range pieces {
			if _, err := c.Next(); err != nil {
				t.Errorf("%s: %d: %v", name, i, err)
			}
			read <- struct{}{}
		}
		if d, err := c.Next(); err != io.EOF {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

// TestPipes: files that cannot be read twice, as a shell's <(…), are merged with those that can.
func TestPipes(t *testing.T) {
	dir := writeFiles(t, map[string][]byte{"a": logOf("a", 1, 4), "b": logOf("b", 3)})
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(fifo, compressions["gzip"](pcapOf("c", 2, 5)), 0o600)
	c, err := replay.Open([]string{filepath.Join(dir, "b"), fifo, "-", filepath.Join(dir, "a")}, replay.ReadOptions{Stdin: bytes.NewReader(logOf("d", 2.5))})
	if err != nil {
		t.Fatal(err)
	}
	got := readAll(t, c)
	if want := []string{`{"a": 1}`, `{"c": 2}`, `{"d": 2.5}`, `{"b": 3}`, `{"a": 4}`, `{"c": 5}`}; !slices.Equal(got.payloads(), want) {
		t.Errorf("%v", got.payloads())
	}
	if got.progress.Size != 0 {
		t.Errorf("the size of a pipe: %+v", got.progress)
	}
}

// TestOpenErrors: what cannot be read at all is said at once, with the name of the file.
func TestOpenErrors(t *testing.T) {
	dir := writeFiles(t, map[string][]byte{
		"log": logOf("a", 1), "picture.png": []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), "twice.gz": compressions["gzip"](compressions["gzip"](logOf("a", 1))),
		"a.snoop": []byte("snoop\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04"), "a.xz": []byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00"),
	})
	if err := os.Symlink("log", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) []string {
		for i, name := range names {
			if name != "-" {
				names[i] = filepath.Join(dir, name)
			}
		}
		return names
	}
	const none = "is neither a state log nor a pcap or pcapng file"
	for _, c := range []struct {
		files []string
		want  string
	}{
		{nil, "no file"},
		{in("nowhere"), "nowhere: no such file"},
		{in("log", "nowhere"), "nowhere: no such file"},
		{in(""), "is a directory"},
		{in("picture.png"), "picture.png " + none},
		{in("log", "twice.gz"), "twice.gz " + none},
		{in("a.snoop", "log"), "a.snoop " + none},
		{in("a.xz"), "a.xz " + none},
		{in("log", "link"), "are the same file"},
		{in("log", "log"), "are the same file"},
		{in("-"), "standard input cannot be read"},
	} {
		opened, err := replay.Open(c.files, replay.ReadOptions{})
		if err == nil || opened != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.files, err, c.want)
		}
	}
	if _, err := replay.Open(in("-"), replay.ReadOptions{Stdin: strings.NewReader("\x00\x01\x02\x03")}); err == nil || !strings.Contains(err.Error(), "standard input "+none) {
		t.Errorf("%v", err)
	}
	if _, err := replay.Open(in("-", "-"), replay.ReadOptions{Stdin: strings.NewReader("")}); err == nil || !strings.Contains(err.Error(), "same file") {
		t.Errorf("%v", err)
	}
}

// TestEmpty: files of no records are none the worse.
func TestEmpty(t *testing.T) {
	for name, content := range map[string][]byte{
		"nothing": nil, "gzip of nothing": compressions["gzip"](nil), "zstd of nothing": compressions["zstd"](nil), "pcap": pcapFile(linkRaw),
		"pcapng": ngSection(little, nil),
	} {
		if got := read(t, content, 0); len(got.datagrams) != 0 || len(got.skips) != 0 {
			t.Errorf("%s: %v, %v", name, got.payloads(), got.breaks)
		}
	}
}

// TestBreaks: of files that break off, what came before stands, and the others go on.
func TestBreaks(t *testing.T) {
	long := stateLog(time.Unix(1, 0), 5000)
	damaged := compressions["gzip"](long)
	damaged[len(damaged)/2] ^= 0xff
	checksum := compressions["zstd"](logOf("z", 1))
	checksum[len(checksum)-1] ^= 0xff
	pcap := pcapOf("p", 100, 101)
	dir := writeFiles(t, map[string][]byte{
		"cut.gz": compressions["gzip"](long)[:20_000], "cut.zst": compressions["zstd"](long)[:10_000], "damaged.gz": damaged, "checksum.zst": checksum,
		"head.gz": {0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0, 0}, "garbage.gz": append(compressions["gzip"](logOf("g", 1, 2)), "garbage behind"...),
		"cut.pcap": pcap[:len(pcap)-1], "head.pcap": pcap[:20], "whole": logOf("whole", 1e6),
	})
	for name, c := range map[string]struct {
		why       string
		fewest    int
		most      int
		mentioned string
	}{
		"cut.gz":       {"cut_off", 100, 4999, "cut off in the middle of a record"},
		"cut.zst":      {"cut_off", 0, 4999, "cut off in the middle of a record"},
		"damaged.gz":   {"corrupt", 100, 4999, "gzip: "},
		"checksum.zst": {"corrupt", 0, 1, "CRC"},
		"head.gz":      {"corrupt", 0, 0, "gzip: invalid header"},
		"garbage.gz":   {"corrupt", 2, 2, "gzip: invalid header"},
		"cut.pcap":     {"cut_off", 1, 1, "at its record 2: cut off"},
		"head.pcap":    {"cut_off", 0, 0, "at its record 1: cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, names := range [][]string{{name}, {"whole", name}, {name, "whole"}} {
				others := len(names) - 1
				got := readFiles(t, dir, slices.Clone(names)...)
				n := len(got.datagrams) - others
				delete(got.skips, "not_a_log_line") // what damage makes of lines before it is found out
				if n < c.fewest || n > c.most || !maps.Equal(got.skips, map[string]uint64{c.why: 1}) {
					t.Fatalf("%v: %d datagrams, %v, %v", names, n, got.skips, got.breaks)
				}
				if others > 0 && string(got.datagrams[n].Payload) != `{"whole": 1e+06}` {
					t.Errorf("%v: %s", names, got.datagrams[n].Payload)
				}
				if text := got.breaks[0].Error(); !strings.Contains(text, c.mentioned) || !strings.Contains(text, name+" breaks off") {
					t.Errorf("%v: %q does not say %q", names, text, c.mentioned)
				}
			}
		})
	}
}

// TestCompressedCutOff cuts compressed files at each of their bytes, and changes each of them.
func TestCompressedCutOff(t *testing.T) {
	lines := logOf("a", 1, 2, 3, 4, 5, 6, 7, 8, 9)
	for name, compress := range compressions {
		whole := compress(lines)
		want := read(t, whole, 0).payloads()
		for n := 4; n < len(whole); n++ {
			got := read(t, whole[:n], 0)
			if !maps.Equal(got.skips, map[string]uint64{"cut_off": 1}) || !slices.Equal(got.payloads(), want[:len(got.datagrams)]) {
				t.Errorf("%s, %d of %d bytes: %v, %v", name, n, len(whole), got.payloads(), got.breaks)
			}
		}
		for n := 4; n < len(whole); n++ {
			damaged := bytes.Clone(whole)
			damaged[n] ^= 0x10
			read(t, damaged, 0)
		}
	}
}

// TestWindow: a file may not want as much memory as it likes.
func TestWindow(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0} // a window of 1 GiB
	frame = append(frame, 0x03, 0x00, 0x40)             // the last block: 512 KiB of one byte
	frame = append(frame, 'x')
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := read(t, frame, 0)
	runtime.ReadMemStats(&after)
	if !maps.Equal(got.skips, map[string]uint64{"corrupt": 1}) || !strings.Contains(got.breaks[0].Error(), "window size") {
		t.Errorf("%v, %v", got.skips, got.breaks)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d MiB", n>>20)
	}
	// A window of 128 MiB, the zstd program's own limit, is allowed.
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(128<<20))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(logOf("a", 1))
	w.Flush() // of unknown size, it tells the window
	w.Close()
	if got := read(t, b.Bytes(), 0); len(got.datagrams) != 1 || len(got.skips) != 0 {
		t.Errorf("%v", got.breaks)
	}
}

// TestClose: after it there is no datagram, and no file is left open.
func TestClose(t *testing.T) {
	dir := writeFiles(t, map[string][]byte{"a": logOf("a", 1, 2), "b": compressions["zstd"](logOf("b", 1, 2))})
	c, err := replay.Open([]string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, replay.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if d, err := c.Next(); err != io.EOF {
			t.Errorf("%v, %v", d, err)
		}
	}
}
