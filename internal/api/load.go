package api

import (
	"context"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxHeld is how many bytes of answers of one kind, and of watchers' events, are kept for their readers at once,
	// and leastHeld how many in a small container; see heldBytes. A thousand engines are about 300 KB in
	// /v1/engine-states and 600 KB in /v1/engines.
	maxHeld   = 32 << 20
	leastHeld = 4 << 20

	// heldShare is the part of Go's memory that one of these accounts gets: one in so many.
	heldShare = 12

	// usualBuffer is how large a buffer may be and still be kept for the next answer. A larger one is left to the collector.
	usualBuffer = 8 << 20

	// patience is how long a reader may take for an answer when another one needs its room, and how long a request waits
	// for room: far longer than a reader takes that reads.
	patience = time.Second
)

// heldBytes returns how many bytes of answers may be held when Go has so much memory; 0 or math.MaxInt64 is no limit.
func heldBytes(memory int64) int64 {
	if memory <= 0 || memory == math.MaxInt64 {
		return maxHeld
	}
	return min(max(memory/heldShare, leastHeld), maxHeld)
}

// load bounds what one kind of readers of the answers that grow with the number of engines can cost the rest of the
// process.
//
// A request first waits for a place among the readers, and holds nothing meanwhile: a place stands for what the kernel
// buffers of an answer. Then it joins those that ask for the same and whose answer is not begun yet; so an answer is
// always made after the request has arrived, and however many ask at once, it is made once. Answers are counted, by
// their buffers, from before their rendering until the last of their readers has taken them.
//
// Rendering is work for a processor and never waits, so a few turns are enough for everybody; they leave processors to
// those who receive datagrams.
type load struct {
	turns   chan struct{}
	most    int64               // bytes
	bytes   *semaphore.Weighted // most of them
	places  *semaphore.Weighted
	buffers sync.Pool // of []byte by pointer, none above usualBuffer

	mu     sync.Mutex
	held   int64              // bytes taken of the semaphore
	next   map[string]*answer // by what is asked for: those not begun
	sizes  map[string]int64   // by the handler: how large answers were lately
	taking []*reader          // the oldest first
}

// answer is one rendered answer, for all that asked for it before it was begun.
type answer struct {
	ready   chan struct{}      // closed when body or problem is set
	cancel  context.CancelFunc // nobody waits any more
	body    []byte
	problem *problem

	// The load's mutex guards these.
	users  int
	filled bool
	weight int64 // bytes that are counted
}

// reader takes an answer.
type reader struct {
	answer *answer
	since  time.Time
	cutOff func()
}

// newTurns returns the turns of all loads of the process.
func newTurns() chan struct{} { return make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)) }

// newLoad returns a load that holds at most so many bytes of answers, and as many in the kernel for their readers.
func newLoad(turns chan struct{}, most int64) *load {
	return &load{
		turns:   turns,
		most:    most,
		bytes:   semaphore.NewWeighted(most),
		places:  semaphore.NewWeighted(places(most)),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		next:    map[string]*answer{},
		sizes:   map[string]int64{},
	}
}

// places returns how many readers' send buffers, which the kernel doubles, fit into so many bytes.
func places(bytes int64) int64 { return bytes / (2 * sendBuffer) }

func busy() *problem {
	return laterf(http.StatusServiceUnavailable, "too many answers are under way to other, slow readers")
}

// get returns the answer to a query, which release must be called for; it has a body or a problem. Handler and query say
// what is asked for. cutOff is called at most once, from any goroutine, when the reader has tried others' patience. nil
// means that ctx has ended.
func (l *load) get(ctx context.Context, handler, query string, render func(dst []byte) ([]byte, *problem), cutOff func()) *reader {
	if !l.wait(ctx, l.places, 1, func() { l.makeRoom(0, 1) }) {
		if ctx.Err() != nil {
			return nil
		}
		return &reader{answer: &answer{problem: busy()}}
	}
	key := handler + "?" + query
	a := l.join(handler, key, render)
	select {
	case <-a.ready:
	case <-ctx.Done():
		l.leave(key, a)
		l.places.Release(1)
		return nil
	}
	if a.problem != nil {
		l.leave(key, a)
		l.places.Release(1)
		return &reader{answer: &answer{problem: a.problem}}
	}
	r := &reader{answer: a, since: time.Now(), cutOff: cutOff}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taking = append(l.taking, r)
	return r
}

// release lets go of an answer with a body that was taken or whose reader was cut off.
func (l *load) release(r *reader) {
	l.mu.Lock()
	if i := slices.Index(l.taking, r); i >= 0 {
		l.taking = slices.Delete(l.taking, i, i+1)
	}
	l.mu.Unlock()
	l.leave("", r.answer)
	l.places.Release(1)
}

// wait takes n of s, which may need patience; before it waits, it calls hurry. False means that it has taken nothing.
func (l *load) wait(ctx context.Context, s *semaphore.Weighted, n int64, hurry func()) bool {
	if s.TryAcquire(n) {
		return true
	}
	hurry()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.Acquire(ctx, n) == nil
}

// join returns the answer to be made next for the key.
func (l *load) join(handler, key string, render func(dst []byte) ([]byte, *problem)) *answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.next[key]
	if a == nil {
		ctx, cancel := context.WithCancel(context.Background())
		a = &answer{ready: make(chan struct{}), cancel: cancel}
		l.next[key] = a
		go l.make(ctx, handler, key, a, render)
	}
	a.users++
	return a
}

// leave is join's opposite. The last one to leave lets the answer go; its key matters only before it is begun.
func (l *load) leave(key string, a *answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.users--
	if a.users > 0 {
		return
	}
	if l.next[key] == a {
		delete(l.next, key)
	}
	a.cancel()
	if a.filled {
		l.drop(a)
	}
}

// make makes an answer when there is room for it and it is its turn.
func (l *load) make(ctx context.Context, handler, key string, a *answer, render func(dst []byte) ([]byte, *problem)) {
	defer close(a.ready)
	l.mu.Lock()
	guess := min(l.sizes[handler], l.most)
	l.mu.Unlock()
	if !l.wait(ctx, l.bytes, guess, func() { l.makeRoom(guess, 0) }) {
		l.begin(key, a, 0)
		a.problem = busy()
		return
	}
	select {
	case l.turns <- struct{}{}:
	case <-ctx.Done():
		l.bytes.Release(guess)
		return
	}
	l.begin(key, a, guess)
	buffer := *l.buffers.Get().(*[]byte)
	body, problem := render(buffer[:0])
	<-l.turns
	if problem != nil {
		l.keep(buffer)
	} else {
		body = append(body, '\n')
		if cap(body) > 64<<10 && cap(body) > 4*len(body) { // a large buffer must not be held for a small answer
			buffer, body = body, slices.Clone(body)
			l.keep(buffer)
		}
	}
	l.fill(handler, a, body, problem)
}

// begin notes that the answer is begun, and has bytes reserved: whoever comes from now on gets another.
func (l *load) begin(key string, a *answer, reserved int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next[key] == a {
		delete(l.next, key)
	}
	a.weight = reserved
	l.held += reserved
}

// fill gives the answer its body or its problem, and counts what it is instead of what was guessed.
func (l *load) fill(handler string, a *answer, body []byte, problem *problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.filled, a.body, a.problem = true, body, problem
	size := int64(cap(body))
	if problem == nil {
		l.sizes[handler] = max(size, l.sizes[handler]-l.sizes[handler]/8)
		if more := min(size, l.most) - a.weight; more > 0 {
			if l.bytes.TryAcquire(more) {
				a.weight += more
				l.held += more
			} else {
				a.body, a.problem, size = nil, busy(), 0 // the next one waits for so much
			}
		}
	}
	if less := a.weight - min(size, l.most); less > 0 {
		a.weight -= less
		l.held -= less
		l.bytes.Release(less)
	}
	if a.users == 0 {
		l.drop(a)
	}
}

// drop gives back what a filled answer holds. The caller has the lock.
func (l *load) drop(a *answer) {
	l.held -= a.weight
	l.bytes.Release(a.weight)
	a.weight = 0
	l.keep(a.body)
	a.body = nil
}

// keep puts a buffer by for the next answer, unless it is unusually large.
func (l *load) keep(buffer []byte) {
	if cap(buffer) > 0 && cap(buffer) <= usualBuffer {
		l.buffers.Put(&buffer)
	}
}

// makeRoom cuts off readers that have tried others' patience, the oldest first, and no more of them than it takes to have
// room for so many bytes, or so many places.
func (l *load) makeRoom(bytes int64, places int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes > 0 {
		bytes -= l.most - l.held
	}
	now := time.Now()
	for len(l.taking) > 0 && (bytes > 0 || places > 0) && now.Sub(l.taking[0].since) > patience {
		stalled := l.taking[0]
		l.taking = slices.Delete(l.taking, 0, 1)
		stalled.cutOff()
		places--
		if !slices.ContainsFunc(l.taking, func(r *reader) bool { return r.answer == stalled.answer }) {
			bytes -= stalled.answer.weight
		}
	}
}
