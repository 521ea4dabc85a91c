package gateway

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/traffic"
)

// BenchmarkPipeline takes datagrams of 100 and 10,000 engines from bytes to table and log, 16 a batch, each newer than
// the one before; the log's writer writes to nowhere beside it.
func BenchmarkPipeline(b *testing.B) {
	for _, engines := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("engines=%d", engines), func(b *testing.B) { benchmarkPipeline(b, engines) })
	}
}

func benchmarkPipeline(b *testing.B, engines int) {
	s, _, err := config.Flags{}.Resolve()
	if err != nil {
		b.Fatal(err)
	}
	s.BindAddress, s.UDPPort, s.Workers, s.LogFile = netip.MustParseAddr("127.0.0.1"), 0, 1, "/dev/null"
	g, err := New(s, discard)
	if err != nil {
		b.Fatal(err)
	}
	stop := run(b, g)
	defer stop()
	const begin = 1_755_532_567_495
	payloads, digits := make([][]byte, engines), make([][]byte, engines)
	for i := range payloads {
		state := traffic.NewAgent(fmt.Sprintf("http://10.0.%d.%d:8000", i/256, i%256), uint64(i)).Next(time.UnixMilli(begin))
		payloads[i] = state.AppendJSON(nil)
		at := bytes.Index(payloads[i], []byte(strconv.Itoa(begin)))
		digits[i] = payloads[i][at : at : at+13]
	}
	p, source := g.pipelines[0], netip.MustParseAddrPort("192.0.2.7:1234")
	i, timestamp := 0, int64(begin)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%16 == 0 {
			p.begin(time.Now())
		}
		if i == engines {
			i, timestamp = 0, timestamp+1
		}
		strconv.AppendInt(digits[i], timestamp, 10)
		p.handle(payloads[i], source)
		i++
		if n%16 == 15 {
			p.commit()
		}
	}
}
