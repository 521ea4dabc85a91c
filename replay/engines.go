package replay

import (
	"bytes"
	"container/heap"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/state"
)

// Multiplied is a stream with several engines for each one that was captured.
type Multiplied struct {
	src     Source
	engines int
	fields  fields

	next    Datagram // of the source, which still owns its payload
	read    bool     // there is a next
	end     error    // why the source gives no more
	waiting copies
	order   uint64
	text    []byte // of the copy that was returned last

	added, single atomic.Uint64
}

// Multiply returns src, whose times must not go back, with n engines for each of its engines: the captured one as it is,
// and n-1 that send the same later by n-ths of 200 ms, the interval at which agents push, so that they do not all send at
// once.
//
// The second engine made of "http://172.17.0.3:8000" is "http://172.17.0.3:8000#2", and so on: as URLs they lead to the
// same place. An id that looks so already, of a capture of a replay, gets a mark for the first one too ("…#2#1"), so
// that no two engines get one id. Nothing else in a datagram is changed. What is no state, and a state whose engine_id
// has no room for the mark, is passed once.
func Multiply(src Source, n int) *Multiplied { return &Multiplied{src: src, engines: n} }

// Next returns the next datagram.
func (m *Multiplied) Next() (Datagram, error) {
	if !m.read && m.end == nil {
		m.next, m.end = m.src.Next()
		m.read = m.end == nil
	}
	if len(m.waiting) > 0 && (!m.read || !m.waiting[0].at.After(m.next.Time)) {
		c := heap.Pop(&m.waiting).(engineCopy)
		m.added.Add(1)
		return m.render(c), nil
	}
	if !m.read {
		return Datagram{}, m.end
	}
	m.read = false
	d := m.next
	if m.engines == 1 {
		return d, nil
	}
	id, _, ok := m.fields.find(d.Payload)
	if name := m.fields.state.EngineID; !ok || len(name)+len("#")+len(strconv.Itoa(m.engines)) > state.MaxEngineIDLength {
		m.single.Add(1)
		return d, nil
	}
	first := marked(m.fields.state.EngineID)
	d.Payload = bytes.Clone(d.Payload)
	of := &multiplied{d, id.end - 1}
	for k := 2; k <= m.engines; k++ {
		m.order++
		phase := pushInterval * time.Duration(k-1) / time.Duration(m.engines)
		heap.Push(&m.waiting, engineCopy{at: d.Time.Add(phase), order: m.order, number: k, of: of})
	}
	if first {
		return m.render(engineCopy{at: d.Time, number: 1, of: of}), nil
	}
	return d, nil
}

// render writes a copy, valid until the next one.
func (m *Multiplied) render(c engineCopy) Datagram {
	d, mark := c.of.Datagram, c.of.mark
	m.text = append(m.text[:0], d.Payload[:mark]...)
	m.text = append(m.text, '#')
	m.text = strconv.AppendInt(m.text, int64(c.number), 10)
	m.text = append(m.text, d.Payload[mark:]...)
	d.Payload = m.text
	d.shift += c.at.Sub(d.Time)
	d.Time = c.at
	return d
}

// marked reports whether an engine_id ends as those of copies do.
func marked(id string) bool {
	i := strings.LastIndexByte(id, '#')
	return i >= 0 && i+1 < len(id) && strings.Trim(id[i+1:], "0123456789") == ""
}

// Added returns how many datagrams of further engines have been passed on; at any time.
func (m *Multiplied) Added() uint64 { return m.added.Load() }

// Single returns how many datagrams could not be multiplied, and were passed once; at any time.
func (m *Multiplied) Single() uint64 { return m.single.Load() }

// multiplied is a captured datagram that copies are made of.
type multiplied struct {
	Datagram     // with a payload of its own
	mark     int // position of the closing quote of engine_id
}

// engineCopy is the datagram of a further engine, to come.
type engineCopy struct {
	at     time.Time
	order  uint64 // of making, for those of one moment
	number int
	of     *multiplied
}

// copies is a heap, the next one first.
type copies []engineCopy

func (c copies) Len() int { return len(c) }
func (c copies) Less(i, j int) bool {
	if n := c[i].at.Compare(c[j].at); n != 0 {
		return n < 0
	}
	return c[i].order < c[j].order
}
func (c copies) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *copies) Push(x any)   { *c = append(*c, x.(engineCopy)) }
func (c *copies) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	(*c)[last] = engineCopy{}
	*c = (*c)[:last]
	return x
}
