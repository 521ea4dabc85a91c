package journal

import (
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// lineSize returns the size of the line of a numbered state.
func lineSize(t *testing.T, n int) int {
	t.Helper()
	h := newHarness(t, 1)
	h.put(0, arrival, n, n+1)
	return h.Appender(0).used
}

// TestFullQueue fills the queue while no writer runs: what does not fit is dropped and counted, exactly.
func TestFullQueue(t *testing.T) {
	const first = 1_000_000 // numbers of one length: lines of one size
	size := lineSize(t, first)
	capacity := QueueBytes / segmentSize * (segmentSize / size)
	for _, batch := range []int{1, 64, 1000} {
		h := newHarness(t, 1)
		a := h.Appender(0)
		total := capacity + 1234
		for n := 0; n < total; n += batch {
			h.put(0, arrival.Add(time.Duration(n)), first+n, first+min(n+batch, total))
		}
		want := Counters{Queued: uint64(capacity), DroppedRing: 1234}
		if got := h.Counters(); got != want {
			t.Fatalf("batches of %d: %+v, want %+v", batch, got, want)
		}
		if n := a.segments.Load(); n != QueueBytes/segmentSize {
			t.Errorf("%d segments in use", n)
		}

		h.drain()
		if n := int(a.segments.Load()); n > 1+spareSegments || n != 1+freeSegments(a) || int(a.free.count.Load()) != n-1 {
			t.Errorf("%d segments kept after the queue was emptied, %d of them free, %d counted", n, freeSegments(a), a.free.count.Load())
		}
		h.put(0, arrival.Add(time.Hour), first+total, first+total+10)
		h.drain()
		c := h.account(uint64(total+10), h.content())
		if c.Written != uint64(capacity+10) || c.DroppedRing != 1234 || c.Queued != 0 {
			t.Errorf("%+v", c)
		}
		numbers := h.numbers(h.lines())[0]
		for i, n := range numbers {
			want := first + i
			if i >= capacity {
				want += 1234
			}
			if n != want {
				t.Fatalf("line %d is number %d, want %d", i, n-first, want-first)
			}
		}
	}
}

// freeSegments counts the list of free segments.
func freeSegments(a *Appender) int {
	n := 0
	for s := a.free.head.Load(); s != nil && n < 1000; s = s.free {
		n++
	}
	return n
}

// TestQueueIsPerAppender: one that is full takes nothing from the others.
func TestQueueIsPerAppender(t *testing.T) {
	h := newHarness(t, 2)
	h.Appender(0).maxSegments = 2
	h.put(0, arrival, 0, 1000)
	h.put(1, arrival, 0, 1000)
	c := h.Counters()
	if c.DroppedRing == 0 || c.DroppedRing != h.Appender(0).droppedAll.Load() || c.Queued+c.DroppedRing != 2000 {
		t.Errorf("%+v", c)
	}
	h.drain()
	if n := len(h.numbers(h.lines())[1]); n != 1000 {
		t.Errorf("%d lines of the other appender", n)
	}
}

// TestMemoryIsReturned: the memory of a long queue goes back to the collector when the queue is empty again.
func TestMemoryIsReturned(t *testing.T) {
	inUse := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	h := newHarness(t, 1)
	empty := inUse()
	s, text := numbered(0, 0)
	a := h.Appender(0)
	for range 100_000 {
		a.Begin(arrival.UnixNano())
		a.Append(arrival.UnixNano(), &s, text)
		a.Commit()
	}
	if full := inUse() - empty; full < QueueBytes/2 || full > QueueBytes*5/4 {
		t.Errorf("a full queue takes %d bytes", full)
	}
	h.drain()
	if left := inUse() - empty; left > (spareSegments+2)*segmentSize*5/4 {
		t.Errorf("%d bytes are left of an empty queue", left)
	}
	runtime.KeepAlive(h)
}

// TestManyTinyCommits runs out of a segment's chunks before it runs out of its bytes.
func TestManyTinyCommits(t *testing.T) {
	const commits = 3*chunksPerSegment + 7
	h := newHarness(t, 1)
	a := h.Appender(0)
	s, _ := numbered(0, 0)
	for n := range commits {
		at := arrival.UnixNano() + 1000*int64(n)
		a.Begin(at)
		a.Append(at, &s, []byte{'0' + byte(n%10)})
		a.Commit()
	}
	if n := a.segments.Load(); n != 4 {
		t.Errorf("%d segments", n)
	}
	h.drain()
	content := h.content()
	if c := h.account(commits, content); c.Written != commits {
		t.Errorf("%+v", c)
	}
	for i, line := range h.split([]byte(content)) {
		if !strings.HasSuffix(line, `, "state": `+string('0'+rune(i%10))+"}") {
			t.Fatalf("line %d: %s", i, line)
		}
	}

	// With no other segment to go on to, the rest is dropped.
	h = newHarness(t, 1)
	a = h.Appender(0)
	a.maxSegments = 1
	for range commits {
		a.Begin(arrival.UnixNano())
		a.Append(arrival.UnixNano(), &s, []byte("0"))
		a.Commit()
	}
	if c := h.Counters(); c.Queued != chunksPerSegment || c.DroppedRing != commits-chunksPerSegment {
		t.Errorf("%+v", c)
	}
	h.drain()
	h.account(commits, h.content())
}

// TestBatchAcrossSegments: one batch that takes several segments is one batch, in order.
func TestBatchAcrossSegments(t *testing.T) {
	h := newHarness(t, 2)
	h.put(0, arrival, 0, 1000)
	h.put(1, arrival.Add(-time.Second), 0, 1000)
	h.put(1, arrival.Add(time.Second), 1000, 1010)
	h.drain()
	lines := h.lines()
	h.numbers(lines)
	for i, want := range map[int]int{0: 1, 999: 1, 1000: 0, 1999: 0, 2000: 1, 2009: 1} {
		if sender, _, _ := parse(lines[i]); sender != want {
			t.Errorf("line %d is of appender %d", i, sender)
		}
	}
}

func TestNothingToWrite(t *testing.T) {
	h := newHarness(t, 2)
	h.put(0, arrival, 0, 0)
	h.Appender(1).Commit()
	h.drain()
	if c := h.Counters(); c != (Counters{}) {
		t.Errorf("%+v", c)
	}
}

// A segment takes as much memory as is said, from which whoever sizes a container reckons.
func TestSegmentMemory(t *testing.T) {
	const page = 8 << 10 // what large objects are rounded up to
	if size := (unsafe.Sizeof(segment{}) + page - 1) / page * page; size != segmentMemory || QueueMemory != 18<<20 {
		t.Errorf("a segment takes %d bytes, a queue %d", size, QueueMemory)
	}
}
