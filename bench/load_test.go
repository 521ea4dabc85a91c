package bench

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// thousand is the saturating load of 1,000 engines.
func thousand(target netip.AddrPort) traffic.LoadConfig { return saturating(target, 1000) }

// BenchmarkSaturated measures everything that receives at the most that one sender can send.
func BenchmarkSaturated(b *testing.B) {
	for _, s := range []struct {
		name string
		make func(*testing.B) subject
	}{
		{"null-sink", nullSink},
		{"x-net-ReadBatch", readBatch},
		{"gateway/log=off", gatewayWith(nil)},
		{"gateway/log=on", gatewayWith(withLog)},
		{"naive/log=on", naive},
	} {
		b.Run(s.name, func(b *testing.B) { compare(b, s.make, thousand) })
	}
}

// BenchmarkRatedLoad measures a steady 5,000 datagrams/s: batches of about one.
func BenchmarkRatedLoad(b *testing.B) {
	rated := func(target netip.AddrPort) traffic.LoadConfig {
		return traffic.LoadConfig{Target: target, Engines: 1000, Senders: 1, Rate: 5000, Shape: traffic.Usual}
	}
	b.Run("gateway/log=off", func(b *testing.B) { compare(b, gatewayWith(nil), rated) })
	b.Run("gateway/log=on", func(b *testing.B) { compare(b, gatewayWith(withLog), rated) })
	b.Run("naive/log=on", func(b *testing.B) { compare(b, naive, rated) })
}

// BenchmarkEngines measures what more engines cost: here xnull is the ratio to the gateway with 100 engines.
func BenchmarkEngines(b *testing.B) {
	// Every engine is there before the measurement: the first state of one costs more than the others.
	holding := func(engines int) func(*testing.B) subject {
		return func(b *testing.B) subject {
			s := gatewayWith(func(s *config.Settings) { s.MaxEngines = 200_000 })(b).(*gatewaySubject)
			for i := range engines {
				s.Table().Apply(&state.State{EngineID: fmt.Sprintf("http://load-%d:8000", i), SchedulingMode: "balanced"}, s.address(), s.Now())
			}
			return s
		}
	}
	hundred := func(target netip.AddrPort) traffic.LoadConfig { return saturating(target, 100) }
	for _, c := range []struct {
		name    string
		engines int
	}{{"10000", 10_000}, {"100000", 100_000}} {
		b.Run(c.name, func(b *testing.B) {
			compareWith(b, holding(100), holding(c.engines), hundred, func(target netip.AddrPort) traffic.LoadConfig {
				return saturating(target, c.engines)
			})
		})
	}
}
