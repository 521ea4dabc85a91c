package journal

import (
	"sync/atomic"

	"github.com/elrar/state-gateway/state"
)

// maxVerbatim is the size in bytes up to which a datagram's own bytes are copied; a longer one is mostly white space,
// which a log need not keep, and is rendered from its values. A rendered line has at most maxLine bytes: the strings,
// escaped to twice their length, 7 numbers of at most 25 digits, names and punctuation.
const (
	maxVerbatim = 1024
	maxLine     = 2048
)

// Appender takes one reader's lines. Begin, Append and Commit belong to one goroutine and never block.
type Appender struct {
	wake        chan<- struct{}
	maxSegments int32

	current *segment
	used    int // bytes of current, committed or not
	chunk   chunk
	chunks  uint32 // committed chunks of current
	dropped uint64 // lines of this batch
	prefix  prefix

	segments   atomic.Int32 // in use or free
	free       freeList
	_          [128]byte
	inHand     atomic.Int64  // read time of the batch between Begin and Commit, Unix ns; 0 = none
	appended   atomic.Uint64 // lines committed, ever
	droppedAll atomic.Uint64 // lines dropped for want of a segment, ever
	_          [104]byte
}

func newAppender(maxSegments int, wake chan<- struct{}) *Appender {
	a := &Appender{wake: wake, maxSegments: int32(maxSegments), current: new(segment)}
	a.segments.Store(1)
	return a
}

// Begin starts a batch of states that were read at one time, Unix ns. Lines of several appenders are written in the order
// of these times.
func (a *Appender) Begin(read int64) {
	a.chunk = chunk{read: read}
	a.inHand.Store(read)
}

// Append adds the line of one applied state that arrived at a time, Unix ns, or counts it as dropped when there is no
// room. verbatim, if not nil, is the state's own JSON text, one line of exactly the eight fields; it is copied. Otherwise
// the line is rendered from s.
func (a *Appender) Append(arrival int64, s *state.State, verbatim []byte) {
	if len(verbatim) > maxVerbatim {
		verbatim = nil
	}
	size := maxLine
	if verbatim != nil {
		size = maxPrefix + len(verbatim) + len("}\n")
	}
	if (a.used+size > segmentSize || a.chunks == chunksPerSegment) && !a.turn() {
		a.dropped++
		return
	}
	line := append(a.current.bytes[a.used:a.used:segmentSize], a.prefix.at(arrival)...)
	if verbatim != nil {
		line = append(line, verbatim...)
	} else {
		line = s.AppendJSON(line)
	}
	line = append(line, '}', '\n')
	a.used += len(line)
	a.chunk.lines++
}

// Commit hands the batch to the writer, and ends it.
func (a *Appender) Commit() {
	a.publish()
	a.inHand.Store(0)
}

// publish hands to the writer what there is of the batch.
func (a *Appender) publish() {
	if a.dropped > 0 {
		a.droppedAll.Add(a.dropped)
		a.dropped = 0
	}
	if a.chunk.lines == 0 {
		return
	}
	a.appended.Add(uint64(a.chunk.lines)) // before they can be written: the queue is never counted negative
	a.chunk.end = uint32(a.used)
	a.current.chunks[a.chunks] = a.chunk
	a.chunks++
	a.current.published.Store(a.chunks)
	a.chunk.lines = 0
}

// turn publishes what the current segment has of the batch and goes on to another; false if there is none to be had.
func (a *Appender) turn() bool {
	next := a.free.pop()
	if next == nil {
		if a.segments.Load() >= a.maxSegments {
			a.wakeWriter()
			return false
		}
		a.segments.Add(1)
		next = new(segment)
	}
	a.publish()
	a.current.next.Store(next)
	a.current, a.used, a.chunks = next, 0, 0
	a.wakeWriter()
	return true
}

func (a *Appender) wakeWriter() {
	select {
	case a.wake <- struct{}{}:
	default: // it has been told already
	}
}
