package shard

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/elrar/state-gateway/state"
)

// What Bytes says of a full table is what it takes.
func TestBytes(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what is allocated")
	}
	source := netip.MustParseAddrPort("192.0.2.7:1234")
	for _, cfg := range []Config{{MaxEngines: 20_000, History: 0}, {MaxEngines: 10_000, History: 100}, {MaxEngines: 500, History: 2500}} {
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		table := New(cfg)
		for i := range cfg.MaxEngines {
			table.Apply(&state.State{EngineID: fmt.Sprintf("http://10.0.0.%d:8000", i), TimestampMs: 1, SchedulingMode: "balanced"},
				source, state.Instant{Mono: 1, Wall: 1})
		}
		taken, said := heap()-before, cfg.Bytes()
		runtime.KeepAlive(table)
		t.Logf("%d engines with %d states: %d bytes each, said are %d", cfg.MaxEngines, cfg.History, taken/uint64(cfg.MaxEngines), said/uint64(cfg.MaxEngines))
		if ratio := float64(said) / float64(taken); ratio < 0.85 || ratio > 1.2 {
			t.Errorf("%+v: %d bytes taken, %d said", cfg, taken, said)
		}
	}
}
