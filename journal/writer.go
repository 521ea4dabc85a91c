package journal

import (
	"bytes"
	"io"
)

// Writer takes the lines of one Appender to an io.Writer, on the goroutine of whoever appends them: for a run that can
// wait for its log, as one that receives cannot. What it writes depends on the states and their arrivals alone, and it
// drops nothing.
type Writer struct {
	source
	to    io.Writer
	lines uint64
	bytes uint64
	err   error
}

// NewWriter returns a Writer to to.
func NewWriter(to io.Writer) *Writer {
	a := newAppender(queueBytes/segmentSize, make(chan struct{}, 1)) // nobody needs to be woken
	return &Writer{source: source{appender: a, segment: a.current}, to: to}
}

// Appender returns where the lines come from. An appender takes queueBytes at most: Flush long before.
func (w *Writer) Appender() *Appender { return w.appender }

// Flush writes what has been committed. Its first error ends the writing: every later call returns it again.
func (w *Writer) Flush() error {
	for n := w.ready(); n > 0 && w.err == nil; n = w.ready() {
		chunks := w.segment.chunks[w.taken : w.taken+n]
		run := w.segment.bytes[w.start:chunks[n-1].end]
		size, err := w.to.Write(run)
		if w.bytes += uint64(size); err != nil {
			w.err = err
			w.lines += uint64(bytes.Count(run[:size], []byte{'\n'}))
			break
		}
		for _, c := range chunks {
			w.lines += uint64(c.lines)
		}
		w.start = chunks[n-1].end
		w.taken += n
	}
	return w.err
}

// Counters returns the account. What could not be written for an error stays queued.
func (w *Writer) Counters() Counters {
	return Counters{Written: w.lines, Bytes: w.bytes, DroppedRing: w.appender.droppedAll.Load(),
		Queued: w.appender.appended.Load() - w.lines}
}
