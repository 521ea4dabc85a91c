package replay

import (
	"bytes"
	"cmp"
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

	next    Datagram     // of the source, which still owns its payload
	read    bool         // there is a next
	end     error        // why the source gives no more
	recent  []multiplied // those of which copies are to come, in order
	passed  int          // how many there were before these
	waiting copies
	idle    int    // engines without a copy in waiting: #2 … #(idle+1), whose phases are the first
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
//
// What was captured in the last 200 ms is held, and a place in it for each of the n.
func Multiply(src Source, n int) *Multiplied { return &Multiplied{src: src, engines: n, idle: n - 1} }

// Next returns the next datagram.
func (m *Multiplied) Next() (Datagram, error) {
	if !m.read && m.end == nil {
		m.next, m.end = m.src.Next()
		m.read = m.end == nil
	}
	if len(m.waiting) > 0 && (!m.read || !m.waiting[0].at.After(m.next.Time)) {
		c := m.waiting[0]
		m.added.Add(1)
		d := m.render(m.recent[c.of-m.passed], c.number, c.at)
		m.advance()
		return d, nil
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
	of := multiplied{d, id.end - 1}
	m.recent = append(m.recent, of)
	for k := 2; k < 2+m.idle; k++ {
		heap.Push(&m.waiting, engineCopy{at: m.due(of, k), of: m.passed + len(m.recent) - 1, number: k})
	}
	m.idle = 0
	if first {
		return m.render(of, 1, d.Time), nil
	}
	return d, nil
}

// due returns when an engine sends what was captured.
func (m *Multiplied) due(of multiplied, engine int) time.Time {
	return of.Time.Add(pushInterval * time.Duration(engine-1) / time.Duration(m.engines))
}

// advance goes on to what the engine that is the next one sends after that. The last engine is the last one to send it.
func (m *Multiplied) advance() {
	c := &m.waiting[0]
	if c.number == m.engines {
		m.recent[0] = multiplied{}
		m.recent = m.recent[1:]
		m.passed++
	}
	if c.of++; c.of == m.passed+len(m.recent) {
		heap.Pop(&m.waiting)
		m.idle++
		return
	}
	c.at = m.due(m.recent[c.of-m.passed], c.number)
	heap.Fix(&m.waiting, 0)
}

// render writes an engine's copy, valid until the next one.
func (m *Multiplied) render(of multiplied, engine int, at time.Time) Datagram {
	d := of.Datagram
	m.text = append(m.text[:0], d.Payload[:of.mark]...)
	m.text = append(m.text, '#')
	m.text = strconv.AppendInt(m.text, int64(engine), 10)
	m.text = append(m.text, d.Payload[of.mark:]...)
	d.Payload = m.text
	d.shift += at.Sub(d.Time)
	d.Time = at
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

// engineCopy is the next datagram of a further engine.
type engineCopy struct {
	at     time.Time
	of     int // the datagram's number, of all that were multiplied
	number int // the engine's
}

// copies is a heap of the engines, the one that sends next first; of one moment, in the order of what was captured.
type copies []engineCopy

func (c copies) Len() int { return len(c) }
func (c copies) Less(i, j int) bool {
	return cmp.Or(c[i].at.Compare(c[j].at), cmp.Compare(c[i].of, c[j].of), cmp.Compare(c[i].number, c[j].number)) < 0
}
func (c copies) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *copies) Push(x any)   { *c = append(*c, x.(engineCopy)) }
func (c *copies) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}
