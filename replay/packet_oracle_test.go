package replay_test

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"pgregory.net/rapid"

	"github.com/elrar/state-gateway/replay"
)

// TestOracle: files that gopacket writes, of packets that it builds, hold the same datagrams to gopacket's readers and to this
// one: the time, the addresses, the bytes.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		linkTypes := rapid.SliceOfN(rapid.SampledFrom([]layers.LinkType{
			layers.LinkTypeEthernet, layers.LinkTypeLinuxSLL, layers.LinkTypeLinuxSLL2, layers.LinkTypeNull, layers.LinkTypeLoop, layers.LinkTypeRaw,
		}), 1, 3).Draw(t, "link types")
		var packets []drawn
		for i := range rapid.IntRange(0, 20).Draw(t, "packets") {
			packets = append(packets, draw(t, i, linkTypes))
		}
		var file bytes.Buffer
		if len(linkTypes) == 1 && rapid.Bool().Draw(t, "pcap") {
			w := pcapgo.NewWriter(&file)
			if rapid.Bool().Draw(t, "nanoseconds") {
				w = pcapgo.NewWriterNanos(&file)
			}
			check(t, w.WriteFileHeader(262144, linkTypes[0]))
			for _, p := range packets {
				check(t, w.WritePacket(p.info, p.bytes))
			}
			r, err := pcapgo.NewReader(bytes.NewReader(file.Bytes()))
			check(t, err)
			compare(t, file.Bytes(), func() (gopacket.Packet, error) {
				b, info, err := r.ReadPacketData()
				return decode(b, info, r.LinkType()), err
			})
			return
		}
		resolution := pcapgo.NgResolution(rapid.SampledFrom([]byte{6, 9}).Draw(t, "resolution"))
		w, err := pcapgo.NewNgWriterInterface(&file, pcapgo.NgInterface{LinkType: linkTypes[0], TimestampResolution: resolution}, pcapgo.DefaultNgWriterOptions)
		check(t, err)
		for _, linkType := range linkTypes[1:] {
			_, err := w.AddInterface(pcapgo.NgInterface{Name: "another", LinkType: linkType, TimestampResolution: resolution})
			check(t, err)
		}
		for _, p := range packets {
			check(t, w.WritePacketWithOptions(p.info, p.bytes, pcapgo.NgPacketOptions{Comments: []string{"a comment"}}))
		}
		check(t, w.Flush())
		r, err := pcapgo.NewNgReader(bytes.NewReader(file.Bytes()), pcapgo.NgReaderOptions{WantMixedLinkType: true})
		check(t, err)
		compare(t, file.Bytes(), func() (gopacket.Packet, error) {
			b, info, err := r.ReadPacketData()
			if err != nil {
				return nil, err
			}
			return decode(b, info, info.AncillaryData[0].(layers.LinkType)), nil
		})
	})
}

func check(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// drawn is a packet as it was captured.
type drawn struct {
	bytes []byte
	info  gopacket.CaptureInfo
}

// draw builds a packet with gopacket; the link header is built by hand where gopacket has none to write.
func draw(t *rapid.T, i int, linkTypes []layers.LinkType) drawn {
	number := rapid.IntRange(0, len(linkTypes)-1).Draw(t, "interface")
	at := captured.Add(time.Duration(i) * time.Hour).Add(time.Duration(rapid.Int64Range(0, 999_999_999).Draw(t, "ns")))
	text := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "payload")
	transport := &layers.UDP{
		SrcPort: layers.UDPPort(rapid.Uint16().Draw(t, "from")),
		DstPort: layers.UDPPort(rapid.SampledFrom([]uint16{9999, 9998, 1}).Draw(t, "to")),
	}
	var stack []gopacket.SerializableLayer
	etherType := layers.EthernetTypeIPv4
	if rapid.Bool().Draw(t, "IPv4") {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: engine4.Addr().AsSlice(), DstIP: gateway4.Addr().AsSlice()}
		if rapid.Bool().Draw(t, "options") {
			ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}} // router alert
		}
		check(t, transport.SetNetworkLayerForChecksum(ip))
		stack = append(stack, ip)
	} else {
		etherType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: engine6.Addr().AsSlice(), DstIP: gateway6.Addr().AsSlice()}
		check(t, transport.SetNetworkLayerForChecksum(ip))
		stack = append(stack, ip)
		if rapid.Bool().Draw(t, "destination options") {
			ip.NextHeader = layers.IPProtocolIPv6Destination
			options := &layers.IPv6Destination{Options: []*layers.IPv6DestinationOption{{OptionType: 30, OptionData: make([]byte, 12)}}}
			options.NextHeader = layers.IPProtocolUDP
			stack = append(stack, options)
		}
	}
	stack = append(stack, transport, gopacket.Payload(text))
	for range rapid.IntRange(0, 2).Draw(t, "VLANs") {
		if linkTypes[number] == layers.LinkTypeEthernet || linkTypes[number] == layers.LinkTypeLinuxSLL {
			stack = append([]gopacket.SerializableLayer{&layers.Dot1Q{VLANIdentifier: 7, Type: etherType}}, stack...)
			etherType = layers.EthernetTypeDot1Q
		}
	}
	if linkTypes[number] == layers.LinkTypeEthernet {
		stack = append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: etherType}}, stack...)
	}
	buffer := gopacket.NewSerializeBuffer()
	check(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...))
	b := buffer.Bytes()
	switch linkTypes[number] {
	case layers.LinkTypeLinuxSLL:
		b = sll(rapid.SampledFrom([]int{0, 1, 2, 3, 4}).Draw(t, "direction"), b, int(etherType))
	case layers.LinkTypeLinuxSLL2:
		b = sll2(rapid.IntRange(1, 9).Draw(t, "index"), rapid.SampledFrom([]int{0, 1, 2, 3, 4}).Draw(t, "direction"), b, int(etherType))
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		family := map[layers.EthernetType]uint32{layers.EthernetTypeIPv4: 2, layers.EthernetTypeIPv6: 30}[etherType]
		if linkTypes[number] == layers.LinkTypeNull {
			b = append(little.AppendUint32(nil, family), b...)
		} else {
			b = append(big.AppendUint32(nil, family), b...)
		}
	}
	return drawn{b, gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(b), Length: len(b), InterfaceIndex: number}}
}

// decode decodes a packet with gopacket.
func decode(b []byte, info gopacket.CaptureInfo, linkType layers.LinkType) gopacket.Packet {
	p := gopacket.NewPacket(b, linkType, gopacket.Default)
	p.Metadata().CaptureInfo = info
	return p
}

// compare reads a file with this package and with next, packet for packet.
func compare(t *rapid.T, file []byte, next func() (gopacket.Packet, error)) {
	const port = 9999
	c, err := replay.Open([]string{"-"}, replay.ReadOptions{Port: port, Stdin: bytes.NewReader(file)})
	check(t, err)
	defer c.Close()
	others := uint64(0)
	for {
		packet, err := next()
		if err == io.EOF {
			break
		}
		check(t, err)
		transport, ok := packet.TransportLayer().(*layers.UDP)
		if !ok {
			t.Fatalf("gopacket finds no UDP: %v", packet)
		}
		if transport.DstPort != port {
			others++
			continue
		}
		flow := packet.NetworkLayer().NetworkFlow()
		from, _ := netip.AddrFromSlice(flow.Src().Raw())
		to, _ := netip.AddrFromSlice(flow.Dst().Raw())
		want := replay.Datagram{
			Time: packet.Metadata().Timestamp, Payload: transport.Payload,
			Source: netip.AddrPortFrom(from, uint16(transport.SrcPort)), Destination: netip.AddrPortFrom(to, uint16(transport.DstPort)),
		}
		if got, err := c.Next(); err != nil || !equal(got, want) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	}
	if d, err := c.Next(); err != io.EOF {
		t.Fatalf("one too many: %+v, %v", d, err)
	}
	if n := c.Skips()["other_port"]; n != others || len(c.Breaks()) > 0 || c.Read().Records < others {
		t.Fatalf("%v, %v; want %d of other ports", c.Skips(), c.Breaks(), others)
	}
}
