package journal

import "math"

// directWrite is the size in bytes from which a run of lines is written from where it lies. Smaller ones are copied
// together first: a system call costs more than copying a few kilobytes.
const directWrite = 16 << 10

// source is the writer's place in one appender's chain of segments.
type source struct {
	appender *Appender
	segment  *segment
	taken    uint32 // chunks of segment
	start    uint32 // position after the last of them
	seen     uint32 // chunks of segment that were there at the last look

	unsettled uint64 // lines taken, and neither written nor dropped yet
	settled   uint64 // lines taken, and written or dropped; guarded by Journal.mu
}

// ready returns the number of chunks that can be taken, after going on to the next segment if this one is done.
func (s *source) ready() uint32 {
	for {
		next := s.segment.next.Load() // before published: after next there is no more to come
		if n := s.segment.published.Load() - s.taken; n > 0 || next == nil {
			return n
		}
		done := s.segment
		s.segment, s.taken, s.start = next, 0, 0
		s.recycle(done)
	}
}

// recycle gives a segment back to its appender, or to the collector when there are enough.
func (s *source) recycle(done *segment) {
	if s.appender.free.count.Load() >= spareSegments {
		s.appender.segments.Add(-1)
		return
	}
	done.reset()
	s.appender.free.push(done)
}

// drain writes what was committed before it looks the last time, but for what was read after a batch that is still in a
// reader's hands: chunk by chunk in the order in which they were read, whichever appenders they come from, so that an
// engine's lines stay in order when its sender changes from one socket to another.
//
// It looks twice before it takes. An appender may be given an older chunk just after its turn in the first look, while
// another one's newer chunk is still to be seen there; but what was committed before a chunk is seen in the look after.
// A batch that was read earlier than a chunk may still be in the hands of a reader that has lost its processor: the
// chunk waits for it.
func (j *Journal) drain() {
	first, _ := j.look()
	for first != nil {
		j.oldest.Store(first.segment.chunks[first.taken].read)
		seen := first.seen
		again, bound := j.look()
		if again == first {
			j.take(first, seen, bound)
			again, _ = j.look()
		}
		first = again
	}
	j.flush()
	j.oldest.Store(0)
}

// look returns the source whose next chunk was read first, and until when what follows in it may be taken with it: when
// the next best one was read, or a batch in hand. It returns nil if there is no chunk, or if the first must wait for a
// batch in hand.
func (j *Journal) look() (first *source, bound int64) {
	read := int64(math.MaxInt64) // of first
	bound = math.MaxInt64
	inHand := int64(math.MaxInt64) // the earliest; read before what is committed, which it then is or is not yet
	for _, a := range j.appenders {
		if at := a.inHand.Load(); at != 0 {
			inHand = min(inHand, at)
		}
	}
	for i := range j.sources {
		s := &j.sources[i]
		n := s.ready()
		s.seen = s.taken + n
		if n == 0 {
			continue
		}
		if a := s.segment.chunks[s.taken].read; first == nil || a < read {
			first, read, bound = s, a, min(bound, read)
		} else {
			bound = min(bound, a)
		}
	}
	if read > inHand {
		return nil, 0
	}
	return first, min(bound, inHand)
}

// take takes the run of chunks that were read no later than bound, as far as they have been seen.
func (j *Journal) take(s *source, seen uint32, bound int64) {
	end, lines := s.start, uint64(0)
	for s.taken < seen && (lines == 0 || s.segment.chunks[s.taken].read <= bound) {
		end = s.segment.chunks[s.taken].end
		lines += uint64(s.segment.chunks[s.taken].lines)
		s.taken++
	}
	run := s.segment.bytes[s.start:end]
	s.start = end
	if len(j.out)+len(run) > cap(j.out) {
		j.flush()
	}
	s.unsettled += lines
	if len(j.out) == 0 && len(run) >= directWrite {
		j.write(run, lines)
		return
	}
	j.out = append(j.out, run...)
	j.outLines += lines
}

// flush writes the merged lines.
func (j *Journal) flush() {
	if len(j.out) == 0 {
		return
	}
	j.write(j.out, j.outLines)
	j.out, j.outLines = j.out[:0], 0
}

// write writes whole lines, n of them and all that are taken and not settled, and settles them: each is in the file, or
// counted as dropped.
func (j *Journal) write(lines []byte, n uint64) {
	bytes, written, why := j.file.write(lines, n)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counters.Bytes += uint64(bytes)
	j.counters.Written += written
	if why == dropSpace {
		j.counters.DroppedSpace += n - written
	} else {
		j.counters.DroppedError += n - written
	}
	for i := range j.sources {
		s := &j.sources[i]
		s.settled += s.unsettled
		s.unsettled = 0
	}
}
