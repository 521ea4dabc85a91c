package top

import (
	"fmt"
	"testing"

	"github.com/elrar/state-gateway/client"
)

// BenchmarkScreen is what one look at 2,000 engines costs, of which there are five in a second.
func BenchmarkScreen(b *testing.B) {
	var engines []client.Engine
	for i := range 2000 {
		engines = append(engines, engine(fmt.Sprintf("http://10.0.%d.%d:8000", i/256, i%256), latency(float64(i*7919%2000))))
	}
	m := showing(120, 40, engines...)
	press(m, "4")
	seen := m.seen
	b.ReportAllocs()
	for b.Loop() {
		m.Update(seen)
		m.View()
	}
}
