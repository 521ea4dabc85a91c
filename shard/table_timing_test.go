package shard

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// filled returns a table of so many engines with the default history, and their ids.
func filled(b *testing.B, engines int) (*Table, []string) {
	b.Helper()
	rules := state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}
	table := New(Config{MaxEngines: engines, History: 100, Rules: rules})
	ids := make([]string, engines)
	for i := range ids {
		ids[i] = fmt.Sprintf("http://10.%d.%d.%d:8000", i>>16, i>>8&255, i&255)
		apply(table, ids[i], int64(i))
	}
	return table, ids
}

func BenchmarkApply(b *testing.B) {
	for _, engines := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint("engines=", engines), func(b *testing.B) {
			table, ids := filled(b, engines)
			s, source, at := numbered("", 0)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == engines {
					i = 0
				}
				s.EngineID = ids[i]
				s.TimestampMs++
				s.LatencyPredMs += 0.25
				s.PendingTokensTotal++
				at.Mono++
				at.Wall++
				table.Apply(&s, source, at)
			}
		})
	}
}

// BenchmarkApplyCopies is what two thirds of broadcast's datagrams cost: a duplicate, as it comes or late.
func BenchmarkApplyCopies(b *testing.B) {
	for name, timestamp := range map[string]int64{"duplicate": 1000, "out of order": 999} {
		b.Run(name, func(b *testing.B) {
			table, ids := filled(b, 1)
			s, source, at := numbered(ids[0], 1000)
			table.Apply(&s, source, at)
			s.TimestampMs = timestamp
			b.ReportAllocs()
			for b.Loop() {
				table.Apply(&s, source, at)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	table, ids := filled(b, 1000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i++; i == len(ids) {
			i = 0
		}
		table.Get(ids[i])
	}
}

// BenchmarkRange reads all of 1,000 engines: alone, and while a writer writes as fast as it can.
func BenchmarkRange(b *testing.B) {
	for _, writers := range []int{0, 1} {
		b.Run(fmt.Sprint("engines=1000/writers=", writers), func(b *testing.B) {
			table, ids := filled(b, 1000)
			var stop atomic.Bool
			var writing sync.WaitGroup
			for range writers {
				writing.Go(func() {
					s, source, at := numbered("", 0)
					for i := 0; !stop.Load(); i++ {
						s.EngineID = ids[i%len(ids)]
						s.TimestampMs++
						s.PendingTokensTotal++
						at.Mono++
						table.Apply(&s, source, at)
					}
				})
			}
			b.ReportAllocs()
			var tokens int64
			for b.Loop() {
				table.Range(func(h *state.Held) bool {
					tokens += h.PendingTokensTotal
					return true
				})
			}
			stop.Store(true)
			writing.Wait()
		})
	}
}
