package replay

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/internal/disorder"
)

// Damage says how a network is to treat a stream. The shares are 0 … 1.
type Damage struct {
	Seed      uint64
	Drop      float64 // of all datagrams, lost
	Duplicate float64 // of the others, coming twice
	Reorder   float64 // of what comes, overtaken by one or two later datagrams of its engine
}

// Degraded is a stream that went through a bad network.
type Degraded struct {
	src     Source
	cfg     Damage
	of      Streams
	streams map[uint64]*disorder.Disorder[Datagram]
	order   []*disorder.Disorder[Datagram] // the same, as they came
	ready   []Datagram
	given   int       // of ready
	now     time.Time // of the newest datagram
	end     error

	dropped, duplicated, reordered atomic.Uint64
}

// Degrade returns src as the network delivers it. What happens to an engine's datagrams depends on the seed and its
// engine_id only, so that it is the same whatever else the capture holds. What is overtaken comes at the time of what
// overtakes it.
func Degrade(src Source, cfg Damage) *Degraded {
	return &Degraded{src: src, cfg: cfg, streams: map[uint64]*disorder.Disorder[Datagram]{}}
}

// Next returns the next datagram.
func (n *Degraded) Next() (Datagram, error) {
	for n.given == len(n.ready) {
		if n.end != nil {
			return Datagram{}, n.end
		}
		n.pass()
	}
	d := n.ready[n.given]
	n.given++
	d.Time = n.now
	return d, nil
}

// pass reads the next datagram and makes ready what then comes.
func (n *Degraded) pass() {
	n.ready, n.given = n.ready[:0], 0
	d, err := n.src.Next()
	if err != nil {
		n.end = err
		for _, s := range n.order {
			n.ready = append(n.ready, s.Rest()...)
		}
		return
	}
	n.now = d.Time
	key := n.of.Of(d)
	s := n.streams[key]
	if s == nil {
		s = disorder.New[Datagram](disorder.Shares{Drop: n.cfg.Drop, Duplicate: n.cfg.Duplicate, Displace: n.cfg.Reorder},
			rand.New(rand.NewPCG(n.cfg.Seed, key)))
		n.streams[key] = s
		n.order = append(n.order, s)
	}
	before := s.Counts()
	d.Payload = bytes.Clone(d.Payload)
	n.ready = append(n.ready, s.Pass(d)...)
	after := s.Counts()
	n.dropped.Add(after.Dropped - before.Dropped)
	n.duplicated.Add(after.Duplicated - before.Duplicated)
	n.reordered.Add(after.Displaced - before.Displaced)
}

// Counts returns how many datagrams were dropped, came twice and were held back; at any time.
func (n *Degraded) Counts() (dropped, duplicated, reordered uint64) {
	return n.dropped.Load(), n.duplicated.Load(), n.reordered.Load()
}
