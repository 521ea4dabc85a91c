package replay

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

// BenchmarkOffline takes states of 20 engines from a state log in memory through the gateway's rules, with and without a
// log of its own; from memory alone it is the rules without the reader.
func BenchmarkOffline(b *testing.B) {
	const engines, pushes = 20, 2000
	var c captured
	for i := range engines {
		agent := traffic.NewAgent("http://10.0.0.1:"+string(rune('a'+i)), uint64(i))
		for n := range pushes {
			at := time.Duration(n)*200*time.Millisecond + time.Duration(i)*10*time.Millisecond
			s := agent.Next(incidentBegin.Add(at))
			c = append(c, datagramFrom(i, at, s.AppendJSON(nil)))
		}
	}
	c.sort()
	log := jsonl(c)
	read := func() Source {
		source, err := Open([]string{"-"}, ReadOptions{Stdin: bytes.NewReader(log)})
		if err != nil {
			b.Fatal(err)
		}
		return source
	}
	for _, bench := range []struct {
		name   string
		source func() Source
		log    io.Writer
	}{
		{"memory", c.source, nil},
		{"JSONL", read, nil},
		{"JSONL/log", read, io.Discard},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := DefaultOfflineSettings()
				s.Log = bench.log
				o := NewOffline(bench.source(), s)
				if err := o.Run(); err != nil || o.Statistics().Applied != engines*pushes {
					b.Fatal(err, o.Statistics())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*engines*pushes), "ns/datagram")
		})
	}
}
