package api

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// ticking is a feed on the real table and its watchers, which take everything at once.
type ticking struct {
	table    *shard.Table
	feed     *feed
	watchers []*watcher
	engines  int
	n        int64
}

func newTicking(engines, watchers int, v variant) *ticking {
	k := &ticking{engines: engines, table: shard.New(shard.Config{MaxEngines: engines, History: 100, Rules: testInfo().Rules})}
	a := New(k.table, &fakeGateway{now: at(0)}, testInfo(), quietLog()).(*api)
	k.feed = &feed{hub: a.hub, follow: a.table.Follow()}
	for range watchers {
		k.watchers = append(k.watchers, newWatcher(v, 0, func(time.Time) error { return nil }))
	}
	for range 16 {
		k.change()
	}
	k.tick()
	return k
}

// change applies a state of every fourth engine, as many as arrive in a tick at a state every 200 ms.
func (k *ticking) change() {
	k.n++
	for i := int(k.n) % 4; i < k.engines; i += 4 {
		s := engineState(engineID(i), k.n)
		k.table.Apply(&s, worldSource, at(0))
	}
}

// tick returns the bytes that one watcher was sent.
func (k *ticking) tick() (bytes int) {
	k.feed.tick(k.watchers)
	for _, w := range k.watchers {
		bytes = 0
		for e := w.next(); e != nil; e = w.next() {
			bytes += len(e.frame)
		}
	}
	return bytes
}

// BenchmarkTick measures a tick's work on a table of which a fourth has changed: without anybody's writing.
func BenchmarkTick(b *testing.B) {
	for _, engines := range []int{1000, 10_000} {
		for _, v := range []variant{{}, {engines: true}} {
			for _, watchers := range []int{1, 50} {
				b.Run(fmt.Sprintf("engines=%d/whole=%v/watchers=%d", engines, v.engines, watchers), func(b *testing.B) {
					k := newTicking(engines, watchers, v)
					b.ReportAllocs()
					bytes := 0
					for b.Loop() {
						b.StopTimer()
						k.change()
						b.StartTimer()
						bytes = k.tick()
					}
					b.ReportMetric(float64(bytes), "frame-B")
				})
			}
		}
	}
}

// BenchmarkSnapshot measures what one that comes costs, and all who come in the same tick.
func BenchmarkSnapshot(b *testing.B) {
	for _, engines := range []int{1000, 10_000} {
		for _, v := range []variant{{}, {engines: true}} {
			b.Run(fmt.Sprintf("engines=%d/whole=%v", engines, v.engines), func(b *testing.B) {
				k := newTicking(engines, 0, v)
				b.ReportAllocs()
				for b.Loop() {
					k.feed.snapshots[v.index()].next = time.Time{}
					k.feed.all = k.feed.all[:0]
					if k.feed.encodeSnapshot(v) == nil {
						b.Fatal("none")
					}
				}
			})
		}
	}
}

// BenchmarkAges measures what counting the ages of 1,000 states costs.
func BenchmarkAges(b *testing.B) {
	var total ages
	for b.Loop() {
		var a ages
		for i := range time.Duration(1000) {
			a.add(i * 200 * time.Microsecond)
		}
		total.sum += a.sum
	}
}

// A tick allocates its events, and nothing for each engine or watcher.
func TestTickAllocations(t *testing.T) {
	for _, v := range []variant{{}, {stale: true, engines: true}} {
		k := newTicking(1000, 50, v)
		var states []state.State
		for i := range 1000 {
			states = append(states, engineState(engineID(i), 1000))
		}
		change := func() {
			for i := range 250 {
				states[i].TimestampMs++
				states[i].PendingTokensTotal = (states[i].PendingTokensTotal + 1) % 1000
				k.table.Apply(&states[i], worldSource, at(0))
			}
		}
		for range 10 { // buffers grow
			change()
			k.tick()
		}
		const most = 12
		if n := testing.AllocsPerRun(100, func() { change(); k.tick() }); n > most {
			t.Errorf("%v allocations a tick, want at most %d", n, most)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sent := 0
		for range 100 {
			change()
			sent += k.tick()
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; sent < 100*50_000 || float64(got) > 1.25*float64(sent) {
			t.Errorf("%d bytes allocated for %d bytes of events", got, sent)
		}
	}
}
