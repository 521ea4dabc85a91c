package replay

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/elrar/state-gateway/state"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// TestGolden holds what comes of a capture to what came of it before: what a router is told at several times, the
// counters, the summary, the log. go test ./replay -run TestGolden -update makes the files anew, the capture too.
func TestGolden(t *testing.T) {
	const capture = "testdata/incident.pcapng.gz"
	if *update {
		write(t, capture, string(compressed(t, pcapng(t, incident()))))
	}
	text, log := told(t, capture)
	for file, got := range map[string]string{"testdata/incident.txt": text, "testdata/incident.jsonl": log} {
		if *update {
			write(t, file, got)
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			line := 1 + strings.Count(got[:commonPrefix(got, string(want))], "\n")
			t.Errorf("%s differs from line %d on; if that is meant, look at what -update changes", file, line)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func commonPrefix(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// told returns what a capture of the incident tells, but for what depends on addresses, and its log.
func told(t *testing.T, file string) (text, log string) {
	t.Helper()
	var b, lines bytes.Buffer
	o := NewOffline(openFile(t, file), incidentSettings(&lines))
	start, err := o.Start()
	for _, elapsed := range []time.Duration{2 * time.Second, 12 * time.Second, 13 * time.Second, 18 * time.Second, 20500 * time.Millisecond} {
		err = cmp.Or(err, o.RunTo(start.Add(elapsed)))
		fmt.Fprintf(&b, "after %v\n", elapsed)
		appendEngines(&b, o)
	}
	err = cmp.Or(err, o.Run())
	fmt.Fprintf(&b, "at the end, %v\n", o.Now().UTC().Format(time.RFC3339Nano))
	appendEngines(&b, o)
	sum, sumErr := Summarize(openFile(t, file), incidentSettings(nil))
	if err = cmp.Or(err, sumErr); err != nil {
		t.Fatal(err)
	}
	addsUp(t, o.Statistics())
	s := sum.Statistics
	fmt.Fprintf(&b, "received %d, %d bytes, applied %d, duplicate %d, out of order %d\n", s.Received, s.Bytes, s.Applied, s.Duplicate, s.OutOfOrder)
	fmt.Fprintf(&b, "clock reset %d, heartbeats %d, initialized %d, removed %d\nrejected:", s.ClockReset, s.Heartbeats, s.Initialized, s.Removed)
	for reason := state.Accepted + 1; int(reason) < state.Reasons; reason++ {
		fmt.Fprintf(&b, " %v %d", reason, s.Rejected[reason])
	}
	fmt.Fprintf(&b, "\nfrom %v to %v, at most %d in a second, gaps %d, unlisted %d\n", sum.First.UTC().Format(time.RFC3339Nano),
		sum.Last.UTC().Format(time.RFC3339Nano), sum.Peak, sum.Gaps, sum.Unlisted)
	for _, e := range sum.Engines {
		e.Conflicts = 0 // depend on addresses
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String(), lines.String()
}

// appendEngines writes what is held of each engine.
func appendEngines(b *bytes.Buffer, o *Offline) {
	for _, e := range o.Engines() {
		records, _ := o.History(e.EngineID, 1000)
		fmt.Fprintf(b, "  %v %s\n    arrived %d ns, newest %d, load %d, heartbeat %d, skew %d ms, %d in the history\n", e.Status, e.AppendJSON(nil),
			e.Received.Mono, e.NewestTimestampMs, e.LoadTimestampMs, e.HeartbeatWall, e.ClockSkewMs, len(records))
	}
}

func openFile(t *testing.T, file string) *Capture {
	t.Helper()
	c, err := Open([]string{file}, ReadOptions{Port: 9999})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The same datagrams tell the same, whatever they are captured in.
func TestOfflineOfAnyFormat(t *testing.T) {
	everything, c := incident(), quiet()
	dir := t.TempDir()
	save := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		write(t, file, string(content))
		return file
	}
	for _, same := range []struct {
		name  string
		files []string
	}{
		{"incident", []string{save("a.pcap", pcap(t, everything)), save("a.pcapng", pcapng(t, everything)),
			save("a.pcap.gz", compressed(t, pcap(t, everything)))}},
		{"quiet", []string{save("b.jsonl", jsonl(c)), save("b.pcap", pcap(t, c)), save("b.pcapng", pcapng(t, c)),
			save("b.jsonl.gz", compressed(t, jsonl(c)))}},
	} {
		text, log := told(t, same.files[0])
		for _, file := range same.files[1:] {
			if text2, log2 := told(t, file); text2 != text || log2 != log {
				t.Errorf("%s tells\n%s\nand %s\n%s", same.files[0], text, file, text2)
			}
		}
	}
}

// frame is a datagram as Ethernet carries it.
func frame(t *testing.T, d Datagram) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: d.Source.Addr().AsSlice(), DstIP: d.Destination.Addr().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(d.Source.Port()), DstPort: layers.UDPPort(d.Destination.Port())}
	udp.SetNetworkLayerForChecksum(ip)
	ethernet := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, ethernet, ip, udp, gopacket.Payload(d.Payload)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packets writes c, each datagram preceded by one for another port.
func packets(t *testing.T, c captured, write func(gopacket.CaptureInfo, []byte) error) {
	t.Helper()
	for _, d := range c {
		other := d
		other.Destination = d.Source
		for _, d := range []Datagram{other, d} {
			p := frame(t, d)
			if err := write(gopacket.CaptureInfo{Timestamp: d.Time, CaptureLength: len(p), Length: len(p)}, p); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func pcap(t *testing.T, c captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	packets(t, c, w.WritePacket)
	return b.Bytes()
}

func pcapng(t *testing.T, c captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: "eth0", LinkType: layers.LinkTypeEthernet, SnapLength: 65536},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Hardware: "none", OS: "none", Application: "the test"}})
	if err != nil {
		t.Fatal(err)
	}
	packets(t, c, w.WritePacket)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// jsonl writes datagrams that are states as a state log has them.
func jsonl(c captured) []byte {
	var b []byte
	for _, d := range c {
		b = fmt.Appendf(b, "{\"timestamp\": %d.%06d, \"state\": %s}\n", d.Time.Unix(), d.Time.Nanosecond()/1000, d.Payload)
	}
	return b
}

func compressed(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
