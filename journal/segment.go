package journal

import "sync/atomic"

// segmentSize is the size in bytes of the pieces in which lines pass from an appender to the writer: about 200 lines.
// Larger ones save little, since a write of 64 KiB costs far more than its system call, and stay less in the cache.
const segmentSize = 64 << 10

// segmentMemory is what a segment takes of memory: its bytes, 5 KiB of chunks, and what the allocator rounds up to pages of
// 8 KiB.
const segmentMemory = 72 << 10

// chunksPerSegment bounds the commits of one segment. A chunk has at least one line, and the shortest line (compact
// JSON, one-character strings, zeros) has 213 bytes: 64 KiB / 213 B = 307. An appender that runs out of chunks before
// it runs out of bytes goes on to the next segment.
const chunksPerSegment = 320

// segment holds whole lines and the chunks in which they were committed. It is filled by one appender and emptied by
// the writer. The appender publishes chunks by their number; once next is set, there will be no more of them.
type segment struct {
	chunks    [chunksPerSegment]chunk
	published atomic.Uint32
	next      atomic.Pointer[segment]
	free      *segment // the next one in the list of free segments
	bytes     [segmentSize]byte
}

// chunk is what one batch added to a segment.
type chunk struct {
	read  int64  // when the batch was read, Unix ns
	end   uint32 // position after its last byte
	lines uint32
}

func (s *segment) reset() {
	s.published.Store(0)
	s.next.Store(nil)
}

// freeList is a stack of empty segments: last in, first out, so that the one used again is the one still in the cache.
// One goroutine pushes (the writer), one pops (the appender): with a single popper a stale head cannot come back.
type freeList struct {
	head  atomic.Pointer[segment]
	count atomic.Int32
}

func (f *freeList) push(s *segment) {
	for {
		head := f.head.Load()
		s.free = head
		if f.head.CompareAndSwap(head, s) {
			f.count.Add(1)
			return
		}
	}
}

func (f *freeList) pop() *segment {
	for {
		head := f.head.Load()
		if head == nil {
			return nil
		}
		if f.head.CompareAndSwap(head, head.free) {
			f.count.Add(-1)
			return head
		}
	}
}
