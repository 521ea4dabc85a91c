package shard

import (
	"fmt"
	"testing"

	"github.com/elrar/state-gateway/state"
)

// BenchmarkFollow measures one look at the table: when nothing has changed, and when every fourth engine has, as between
// two ticks of 50 ms with a state every 200 ms.
func BenchmarkFollow(b *testing.B) {
	for _, engines := range []int{1000, 10_000, 100_000} {
		for _, every := range []int{0, 4} {
			b.Run(fmt.Sprintf("engines=%d/changed=1:%d", engines, every), func(b *testing.B) {
				table, ids := filled(b, engines)
				next, n := table.Follow(), 0
				count := func(*state.Held) { n++ }
				next(count, nil)
				s, source, at := numbered("", 0)
				b.ReportAllocs()
				for round := 1; b.Loop(); round++ {
					if every > 0 {
						b.StopTimer()
						for i := round % every; i < engines; i += every {
							s.EngineID = ids[i]
							s.TimestampMs++
							at.Mono++
							table.Apply(&s, source, at)
						}
						b.StartTimer()
					}
					next(count, nil)
				}
			})
		}
	}
}
