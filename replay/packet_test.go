package replay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/elrar/state-gateway/replay"
)

// reading is what was read of a capture: datagrams with their payloads copied, and the rest of what it tells.
type reading struct {
	datagrams []replay.Datagram
	skips     map[string]uint64
	progress  replay.Progress
	breaks    []error
}

// payloads returns the payloads alone.
func (r reading) payloads() (texts []string) {
	for _, d := range r.datagrams {
		texts = append(texts, string(d.Payload))
	}
	return texts
}

// readAll reads a capture to its end, closes it, and checks what holds of any.
func readAll(t testing.TB, c *replay.Capture) reading {
	t.Helper()
	var r reading
	for {
		d, err := c.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("an error other than the end: %v", err)
		}
		if len(d.Payload) > 65_527 || d.Time.Before(time.Unix(0, 0)) || d.Time.Year() > 2262 {
			t.Fatalf("a datagram of %d bytes at %v", len(d.Payload), d.Time)
		}
		d.Payload = bytes.Clone(d.Payload)
		r.datagrams = append(r.datagrams, d)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	r.skips, r.progress, r.breaks = c.Skips(), c.Read(), c.Breaks()
	skipped := uint64(0)
	for _, n := range r.skips {
		skipped += n
	}
	if want := uint64(len(r.datagrams)) + skipped; r.progress.Records != want {
		t.Errorf("%d records, and %d datagrams with %v", r.progress.Records, len(r.datagrams), r.skips)
	}
	broken := r.skips["cut_off"] + r.skips["damaged"] + r.skips["corrupt"] + r.skips["read_error"]
	if uint64(len(r.breaks)) != broken {
		t.Errorf("%d breaks, and %v: %v", len(r.breaks), r.skips, errors.Join(r.breaks...))
	}
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return r
}

// read reads a capture from standard input.
func read(t testing.TB, content []byte, port uint16) reading {
	t.Helper()
	c, err := replay.Open([]string{"-"}, replay.ReadOptions{Port: port, Stdin: bytes.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, c)
}

const payload = `{"engine_id": "http://172.17.0.3:8000"}`

// TestLinks reads a datagram through every link type and what may stand between it and the link.
func TestLinks(t *testing.T) {
	in4, in6 := datagram4(payload), datagram6(payload)
	null := func(family uint32, order byteOrder, content []byte) []byte {
		return append(order.AppendUint32(nil, family), content...)
	}
	hopByHop := append([]byte{60, 0, 5, 2, 0, 0, 1, 0}, append([]byte{17, 1}, make([]byte, 14)...)...)
	authentication := append([]byte{17, 4}, make([]byte, 22)...)
	atomic := []byte{17, 0, 0, 0, 1, 2, 3, 4}
	udp6 := udp(41000, 9999, payload)
	for name, c := range map[string]struct {
		linkType uint32
		packet   []byte
		v6       bool
	}{
		"ethernet, IPv4":               {linkEthernet, ethernet(in4, 0x0800), false},
		"ethernet, IPv6":               {linkEthernet, ethernet(in6, 0x86dd), true},
		"ethernet, FCS length told":    {linkEthernet | 0x24000000, ethernet(in4, 0x0800), false},
		"ethernet, padding behind":     {linkEthernet, append(ethernet(in4, 0x0800), make([]byte, 22)...), false},
		"ethernet, VLAN":               {linkEthernet, ethernet(in4, 0x8100, 0x0800), false},
		"ethernet, two VLANs":          {linkEthernet, ethernet(in6, 0x88a8, 0x8100, 0x86dd), true},
		"ethernet, old style VLANs":    {linkEthernet, ethernet(in4, 0x9100, 0x9200, 0x8100, 0x0800), false},
		"cooked v1, IPv4":              {linkSLL, sll(0, in4, 0x0800), false},
		"cooked v1, going out":         {linkSLL, sll(4, in6, 0x86dd), true},
		"cooked v1, VLAN":              {linkSLL, sll(0, in4, 0x8100, 0x0800), false},
		"cooked v2, IPv4":              {linkSLL2, sll2(2, 0, in4, 0x0800), false},
		"cooked v2, IPv6":              {linkSLL2, sll2(1, 4, in6, 0x86dd), true},
		"cooked v2, VLAN":              {linkSLL2, sll2(1, 0, in6, 0x8100, 0x86dd), true},
		"raw, IPv4":                    {linkRaw, in4, false},
		"raw, IPv6":                    {linkRaw, in6, true},
		"raw, a BSD's number":          {12, in4, false},
		"raw, OpenBSD's number":        {14, in6, true},
		"IPv4":                         {linkIPv4, in4, false},
		"IPv6":                         {linkIPv6, in6, true},
		"loopback, IPv4":               {linkNull, null(2, little, in4), false},
		"loopback, big-endian":         {linkNull, null(2, big, in4), false},
		"loopback, IPv6 on Linux":      {linkNull, null(10, little, in6), true},
		"loopback, IPv6 on macOS":      {linkNull, null(30, little, in6), true},
		"loopback, IPv6 on a BSD":      {linkNull, null(28, big, in6), true},
		"OpenBSD loopback":             {linkLoop, null(24, big, in6), true},
		"IPv4 options":                 {linkRaw, ipv4(engine4.Addr(), gateway4.Addr(), 17, 0, make([]byte, 40), udp6), false},
		"IPv6 hop by hop, destination": {linkRaw, ipv6(engine6.Addr(), gateway6.Addr(), 0, append(hopByHop, udp6...)), true},
		"IPv6 authentication":          {linkRaw, ipv6(engine6.Addr(), gateway6.Addr(), 51, append(authentication, udp6...)), true},
		"IPv6 whole in a fragment":     {linkRaw, ipv6(engine6.Addr(), gateway6.Addr(), 44, append(atomic, udp6...)), true},
		"padding behind UDP":           {linkRaw, ipv4(engine4.Addr(), gateway4.Addr(), 17, 0, nil, append(udp(41000, 9999, payload), "padding"...)), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, pcapFile(c.linkType, c.packet), 9999)
			want := replay.Datagram{Time: captured, Payload: []byte(payload), Source: engine4, Destination: gateway4}
			if c.v6 {
				want.Source, want.Destination = engine6, gateway6
			}
			if len(got.datagrams) != 1 || !equal(got.datagrams[0], want) {
				t.Errorf("%+v, %v", got.datagrams, got.skips)
			}
		})
	}
}

func equal(a, b replay.Datagram) bool {
	return a.Time.Equal(b.Time) && bytes.Equal(a.Payload, b.Payload) && a.Source == b.Source && a.Destination == b.Destination
}

// TestPayloads: what is in a datagram does not matter, nor does its being empty, nor its checksum.
func TestPayloads(t *testing.T) {
	longest := string(bytes.Repeat([]byte("x"), 65_507))
	packets := [][]byte{datagram4(""), datagram6(""), datagram4("x"), datagram4("\x00\xff\n"), datagram4(longest)}
	got := read(t, pcapFile(linkRaw, packets...), 0)
	if want := []string{"", "", "x", "\x00\xff\n", longest}; !slices.Equal(got.payloads(), want) || len(got.skips) != 0 {
		t.Errorf("%d datagrams, %v", len(got.datagrams), got.skips)
	}
}

// TestPorts reads one port's datagrams, or all.
func TestPorts(t *testing.T) {
	to := func(port int) []byte {
		return ipv4(engine4.Addr(), gateway4.Addr(), 17, 0, nil, udp(9999, port, "to"))
	}
	file := pcapFile(linkRaw, to(9999), to(53), to(9998), to(9999)[:22])
	if got := read(t, file, 9999); len(got.datagrams) != 1 || !maps.Equal(got.skips, map[string]uint64{"other_port": 2, "bad_length": 1}) {
		t.Errorf("9999: %d datagrams, %v", len(got.datagrams), got.skips)
	}
	if got := read(t, file, 0); len(got.datagrams) != 3 {
		t.Errorf("any: %d datagrams, %v", len(got.datagrams), got.skips)
	}
}

// TestSkips: what is no datagram is skipped with its reason, and the packets around it are read.
func TestSkips(t *testing.T) {
	from, to := engine4.Addr(), gateway4.Addr()
	segment := udp(41000, 9999, payload)
	whole := datagram4(payload)
	with := func(packet []byte, at int, value ...byte) []byte {
		packet = bytes.Clone(packet)
		copy(packet[at:], value)
		return packet
	}
	next6 := func(next byte, content []byte) []byte { return ipv6(engine6.Addr(), gateway6.Addr(), next, content) }
	for name, c := range map[string]struct {
		linkType uint32
		packet   []byte
		more     int // bytes that the snap length cut off
		want     string
	}{
		"a link type of radios":        {127, whole, 0, "link_type"},
		"ARP":                          {linkEthernet, ethernet(make([]byte, 28), 0x0806), 0, "not_ip"},
		"802.3":                        {linkEthernet, ethernet(make([]byte, 38), 38), 0, "not_ip"},
		"ARP in a VLAN":                {linkEthernet, ethernet(make([]byte, 28), 0x8100, 0x0806), 0, "not_ip"},
		"ARP, cooked v1":               {linkSLL, sll(0, make([]byte, 28), 0x0806), 0, "not_ip"},
		"ARP, cooked v2":               {linkSLL2, sll2(1, 0, make([]byte, 28), 0x0806), 0, "not_ip"},
		"another family on loopback":   {linkNull, append([]byte{7, 0, 0, 0}, whole...), 0, "not_ip"},
		"IP version 5":                 {linkRaw, with(whole, 0, 0x55), 0, "not_ip"},
		"nothing at all":               {linkEthernet, nil, 0, "bad_length"},
		"nothing of Ethernet":          {linkEthernet, nil, 60, "truncated"},
		"half of Ethernet":             {linkEthernet, make([]byte, 13), 0, "bad_length"},
		"half of a VLAN tag":           {linkEthernet, ethernet(nil, 0x8100), 0, "bad_length"},
		"a VLAN tag cut off":           {linkEthernet, ethernet(nil, 0x8100), 50, "truncated"},
		"half of cooked v1":            {linkSLL, make([]byte, 15), 0, "bad_length"},
		"half of cooked v2":            {linkSLL2, make([]byte, 19), 0, "bad_length"},
		"half of loopback":             {linkNull, make([]byte, 3), 0, "bad_length"},
		"no IP":                        {linkEthernet, ethernet(nil, 0x0800), 0, "bad_length"},
		"IP cut off":                   {linkEthernet, ethernet(nil, 0x0800), 60, "truncated"},
		"half of IPv4":                 {linkRaw, whole[:19], 0, "bad_length"},
		"half of IPv4, cut off":        {linkRaw, whole[:19], 100, "truncated"},
		"IPv4 header too short":        {linkRaw, with(whole, 0, 0x44), 0, "bad_length"},
		"IPv4 header beyond the end":   {linkRaw, with(datagram4("")[:28], 0, 0x4f), 0, "bad_length"},
		"IPv4 options cut off":         {linkRaw, ipv4(from, to, 17, 0, make([]byte, 40), segment)[:40], 67, "truncated"},
		"IPv4 length too short":        {linkRaw, with(whole, 2, 0, 19), 0, "bad_length"},
		"IPv4 length beyond the end":   {linkRaw, with(whole, 2, 0xff, 0xff), 0, "bad_length"},
		"IPv4 length beyond the wire":  {linkRaw, with(whole, 2, 0xff, 0xff)[:40], 40, "bad_length"},
		"IPv4 length without UDP":      {linkRaw, with(whole, 2, 0, 20), 0, "bad_length"},
		"TCP":                          {linkRaw, ipv4(from, to, 6, 0, nil, make([]byte, 20)), 0, "not_udp"},
		"TCP to be segmented":          {linkRaw, with(ipv4(from, to, 6, 0, nil, make([]byte, 20)), 2, 0, 0), 0, "not_udp"},
		"ICMP fragment":                {linkRaw, ipv4(from, to, 1, 0x2000, nil, make([]byte, 20)), 0, "not_udp"},
		"IPv6":                         {linkRaw, next6(58, make([]byte, 20)), 0, "not_udp"},
		"IPv6, nothing follows":        {linkRaw, next6(59, nil), 0, "not_udp"},
		"IPv6, encrypted":              {linkRaw, next6(50, make([]byte, 64)), 0, "not_udp"},
		"first fragment":               {linkRaw, ipv4(from, to, 17, 0x2000, nil, segment), 0, "fragment"},
		"middle fragment":              {linkRaw, ipv4(from, to, 17, 0x2005, nil, segment), 0, "fragment"},
		"last fragment":                {linkRaw, ipv4(from, to, 17, 0x00b9, nil, segment), 0, "fragment"},
		"first fragment, IPv6":         {linkRaw, next6(44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, segment...)), 0, "fragment"},
		"last fragment, IPv6":          {linkRaw, next6(44, append([]byte{17, 0, 0, 8, 0, 0, 0, 1}, segment...)), 0, "fragment"},
		"half of IPv6":                 {linkRaw, datagram6(payload)[:39], 0, "bad_length"},
		"half of IPv6, cut off":        {linkRaw, datagram6(payload)[:39], 90, "truncated"},
		"IPv6 length beyond the end":   {linkRaw, with(datagram6(payload), 4, 0xff), 0, "bad_length"},
		"IPv6 jumbogram":               {linkRaw, with(datagram6(payload), 4, 0, 0), 0, "bad_length"},
		"IPv6 extension beyond it":     {linkRaw, next6(0, append([]byte{17, 200, 0, 0, 0, 0, 0, 0}, segment...)), 0, "bad_length"},
		"IPv6 half an extension":       {linkRaw, next6(60, []byte{17, 0, 0, 0}), 0, "bad_length"},
		"IPv6 half an authentication":  {linkRaw, next6(51, []byte{17, 0, 0, 0}), 0, "bad_length"},
		"IPv6 half a fragment header":  {linkRaw, next6(44, []byte{17, 0, 0, 0}), 0, "bad_length"},
		"IPv6 extension cut off":       {linkRaw, next6(0, append([]byte{17, 2, 0, 0, 0, 0, 0, 0}, make([]byte, 60)...))[:50], 58, "truncated"},
		"half of UDP":                  {linkRaw, ipv4(from, to, 17, 0, nil, segment[:7]), 0, "bad_length"},
		"half of UDP, cut off":         {linkRaw, whole[:27], len(whole) - 27, "truncated"},
		"UDP cut off":                  {linkRaw, whole[:60], len(whole) - 60, "truncated"},
		"one byte of UDP cut off":      {linkRaw, whole[:len(whole)-1], 1, "truncated"},
		"UDP length too short":         {linkRaw, with(whole, 24, 0, 7), 0, "bad_length"},
		"UDP length beyond IP":         {linkRaw, with(whole, 24, 0, 200), 0, "bad_length"},
		"UDP length beyond IP, cut":    {linkRaw, with(whole, 24, 0, 200)[:40], len(whole) - 40, "bad_length"},
		"another port":                 {linkRaw, with(whole, 22, 0, 53), 0, "other_port"},
		"another port, cut off":        {linkRaw, with(whole, 22, 0, 53)[:24], len(whole) - 24, "other_port"},
		"another port, length wrong":   {linkRaw, with(whole, 22, 0, 53, 0, 7), 0, "other_port"},
		"fewer bytes than captured":    {linkRaw, whole, -10, ""},
		"more bytes, but only padding": {linkRaw, whole, 10, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := pcapFile(c.linkType)
			file = pcapRecord(little, file, 1, 0, c.packet, c.more)
			want := map[string]uint64{}
			if c.want != "" {
				want[c.want] = 1
			}
			if got := read(t, file, 9999); !maps.Equal(got.skips, want) || got.progress.Records != 1 {
				t.Errorf("pcap: %v, want %v", got.skips, want)
			}
			// The same in a pcapng file, between two packets that are well.
			order := binary.BigEndian
			file = ngInterface(order, ngSection(order, nil), uint16(c.linkType))
			file = ngInterface(order, file, linkRaw)
			file = ngPacket(order, file, 1, 1e6, whole, 0)
			file = ngPacket(order, file, 0, 1e6, c.packet, c.more)
			file = ngPacket(order, file, 1, 1e6+1, datagram6("another"), 0)
			got := read(t, file, 9999)
			if c.want == "" { // well too, and then the same packet on two interfaces
				want = map[string]uint64{"second_sight": 1}
			}
			if !maps.Equal(got.skips, want) || len(got.datagrams) != 2 {
				t.Errorf("pcapng: %v, want %v", got.skips, want)
			}
		})
	}
}
