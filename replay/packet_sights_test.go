package replay_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Directions of Linux cooked packets.
const (
	incoming  = 0
	elsewhere = 3
	outgoing  = 4
)

// TestSights: a packet that was captured at several places of a host is one datagram, and one that was sent twice is two.
func TestSights(t *testing.T) {
	other := ipv4(engine4.Addr(), gateway4.Addr().Next(), 17, 0, nil, udp(41000, 9999, payload))
	at := func(index, direction int, packet []byte) []byte { return sll2(index, direction, packet, 0x0800) }
	a, b := datagram4("a"), datagram4("b")
	for name, c := range map[string]struct {
		linkType uint32
		packets  [][]byte
		want     []string
		second   uint64
	}{
		"out and in on loopback": {linkSLL2, [][]byte{at(1, outgoing, a), at(1, incoming, a), at(1, outgoing, b), at(1, incoming, b)},
			[]string{"a", "b"}, 2},
		"out and in on loopback, in bursts": {linkSLL2, [][]byte{at(1, outgoing, a), at(1, outgoing, b), at(1, incoming, a), at(1, incoming, b)},
			[]string{"a", "b"}, 2},
		"libpcap leaves out the outgoing": {linkSLL2, [][]byte{at(1, incoming, a), at(1, incoming, a)}, []string{"a", "a"}, 0},
		"out on loopback, cooked v1":      {linkSLL, [][]byte{sll(outgoing, a, 0x0800), sll(incoming, a, 0x0800)}, []string{"a"}, 1},
		"only outgoing":                   {linkSLL2, [][]byte{at(2, outgoing, a), at(2, outgoing, b)}, []string{"a", "b"}, 0},
		"a container's veth and its bridge": {linkSLL2, [][]byte{at(3, incoming, a), at(2, incoming, a), at(3, incoming, b), at(2, incoming, b)},
			[]string{"a", "b"}, 2},
		"between two containers": {linkSLL2, [][]byte{at(3, elsewhere, a), at(4, outgoing, a)}, []string{"a"}, 1},
		"a broadcast out of every port of a bridge": {linkSLL2, [][]byte{at(2, outgoing, a), at(4, outgoing, a), at(3, outgoing, a)},
			[]string{"a"}, 2},
		"sent twice from a container": {linkSLL2, [][]byte{at(3, incoming, a), at(2, incoming, a), at(3, incoming, a), at(2, incoming, a)},
			[]string{"a", "a"}, 2},
		"sent twice at once from a container": {linkSLL2, [][]byte{at(3, incoming, a), at(3, incoming, a), at(2, incoming, a), at(2, incoming, a)},
			[]string{"a", "a"}, 2},
		"sent to two addresses": {linkSLL2, [][]byte{at(1, incoming, datagram4(payload)), at(2, incoming, other)},
			[]string{payload, payload}, 0},
		"one interface tells no place": {linkEthernet, [][]byte{ethernet(a, 0x0800), ethernet(a, 0x0800)}, []string{"a", "a"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, pcapFile(c.linkType, c.packets...), 9999)
			if !slices.Equal(got.payloads(), c.want) || got.skips["second_sight"] != c.second {
				t.Errorf("%v, %v; want %v and %d", got.payloads(), got.skips, c.want, c.second)
			}
		})
	}
}

// TestSightsInTime: the same bytes on another interface are another datagram after a second.
func TestSightsInTime(t *testing.T) {
	order := little
	file := pcapHeader(order, microseconds, linkSLL2)
	for i, at := range []uint32{100, 101, 103} { // the second is a second sight of the first
		file = pcapRecord(order, file, at, 0, sll2(1+i, 0, datagram4("a"), 0x0800), 0)
	}
	if got := read(t, file, 0); len(got.datagrams) != 2 || got.skips["second_sight"] != 1 {
		t.Errorf("%d datagrams, %v", len(got.datagrams), got.skips)
	}
}

// TestSightsBetweenInterfaces: the interfaces of a pcapng file are places too, if there are several.
func TestSightsBetweenInterfaces(t *testing.T) {
	order := little
	file := ngInterface(order, ngSection(order, nil), linkEthernet)
	file = ngInterface(order, file, linkRaw)
	file = ngPacket(order, file, 1, 1, datagram4("a"), 0)
	file = ngPacket(order, file, 0, 2, ethernet(datagram4("a"), 0x0800), 0)
	file = ngPacket(order, file, 0, 3, ethernet(datagram4("b"), 0x0800), 0)
	file = ngPacket(order, file, 0, 4, ethernet(datagram4("b"), 0x0800), 0)
	if got := read(t, file, 0); !slices.Equal(got.payloads(), []string{"a", "b", "b"}) || got.skips["second_sight"] != 1 {
		t.Errorf("%v, %v", got.payloads(), got.skips)
	}
}

// TestManySights is long enough for what is remembered to have gone round several times, with bursts as long as it is.
func TestManySights(t *testing.T) {
	const rounds, burst = 5, 4000
	var packets [][]byte
	for round := range rounds {
		for _, index := range []int{3, 2} {
			for i := range burst {
				packets = append(packets, sll2(index, incoming, datagram4(fmt.Sprint(round, " ", i)), 0x0800))
			}
		}
	}
	order := little
	file := pcapHeader(order, microseconds, linkSLL2)
	for i, packet := range packets {
		file = pcapRecord(order, file, 1000, uint32(i), packet, 0)
	}
	got := read(t, file, 0)
	if len(got.datagrams) != rounds*burst || !maps.Equal(got.skips, map[string]uint64{"second_sight": rounds * burst}) {
		t.Errorf("%d datagrams, %v", len(got.datagrams), got.skips)
	}
	seen := map[string]bool{}
	for _, text := range got.payloads() {
		seen[text] = true
	}
	if len(seen) != rounds*burst {
		t.Errorf("%d different ones", len(seen))
	}
}
