package replay

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"
)

// sightsKept and sightsFor are how many datagrams, and for how long, a second sight is looked for. The copies of one packet
// are microseconds apart; between them come at most the packets of one burst.
const (
	sightsKept = 4096
	sightsFor  = time.Second
)

// place is where on a host a packet was seen. Zero: the capture does not say.
type place struct {
	iface     uint32 // the file's interface, from 1
	index     uint32 // the host's interface; Linux cooked v2
	direction uint16 // 1 + the packet type: 1 to this host, 2 broadcast, 3 multicast, 4 to another one, 5 going out; Linux cooked
}

// sights knows a packet that has been seen before at another place. A capture of every interface sees a packet once on
// each that it crosses: of an engine in a container, on its veth and again on docker0; and on loopback going out and coming
// in, though libpcap leaves out the first of these. One that a sender repeats is not such a packet: it comes at the same
// places again, and is a datagram of its own.
type sights struct {
	seen   map[uint64]sight // by hash of addresses, ports and payload
	recent [sightsKept]uint64
	next   int // of recent, round and round
	key    []byte
}

type sight struct {
	place place
	time  time.Time
	slot  int // of recent
}

func newSights() *sights { return &sights{seen: make(map[uint64]sight, sightsKept)} }

// again reports whether the datagram, seen here, is one that was seen at another place before.
func (s *sights) again(d *Datagram, here place) bool {
	source, destination := d.Source.Addr().As16(), d.Destination.Addr().As16()
	s.key = append(s.key[:0], source[:]...)
	s.key = append(s.key, destination[:]...)
	s.key = binary.BigEndian.AppendUint16(s.key, d.Source.Port())
	s.key = binary.BigEndian.AppendUint16(s.key, d.Destination.Port())
	s.key = append(s.key, d.Payload...)
	hash := xxhash.Sum64(s.key)
	if before, ok := s.seen[hash]; ok && before.place != here && d.Time.Sub(before.time).Abs() <= sightsFor {
		return true
	}
	if old := s.recent[s.next]; s.seen[old].slot == s.next {
		delete(s.seen, old)
	}
	s.recent[s.next] = hash
	s.seen[hash] = sight{here, d.Time, s.next}
	s.next = (s.next + 1) % sightsKept
	return false
}
