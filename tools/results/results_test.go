package results

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadBench(t *testing.T) {
	b, err := ReadBench(strings.NewReader(`goos: linux
goarch: amd64
pkg: example.com/bench
cpu: A Processor
BenchmarkSaturated/null-sink-2         	       1	       840.5 cpu-ns/dgram	    700000 dgram/s	         1.010 xnull
BenchmarkSaturated/x-net-ReadBatch-2   	       1	      1180 cpu-ns/dgram	    600000 dgram/s	         1.400 xnull
--- BENCH: BenchmarkSaturated/x-net-ReadBatch-2
    load_test.go:1: a message
BenchmarkSaturated/null-sink-2         	       1	       860.5 cpu-ns/dgram	    710000 dgram/s	         0.990 xnull
BenchmarkVisible 	       5	         0 ns/op	       120.0 p50-µs
PASS
ok  	example.com/bench	3.000s
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []*Benchmark{
		{"Saturated/null-sink", []string{"cpu-ns/dgram", "dgram/s", "xnull"},
			map[string]Spread{"cpu-ns/dgram": {840.5, 860.5}, "dgram/s": {700000, 710000}, "xnull": {1.01, 0.99}}},
		{"Saturated/x-net-ReadBatch", []string{"cpu-ns/dgram", "dgram/s", "xnull"},
			map[string]Spread{"cpu-ns/dgram": {1180}, "dgram/s": {600000}, "xnull": {1.4}}},
		{"Visible", []string{"ns/op", "p50-µs"}, map[string]Spread{"ns/op": {0}, "p50-µs": {120}}},
	}
	if !reflect.DeepEqual(b.Benchmarks, want) {
		for _, x := range b.Benchmarks {
			t.Errorf("%+v", *x)
		}
	}
	if got := b.Benchmarks[0].Runs(); got != 2 {
		t.Error(got, "runs")
	}
	if !reflect.DeepEqual(b.Settings, []string{"goos: linux", "goarch: amd64", "pkg: example.com/bench", "cpu: A Processor"}) {
		t.Error(b.Settings)
	}
	if got := b.Groups(); !reflect.DeepEqual(got, []string{"Saturated", "Visible"}) {
		t.Error(got)
	}
	if got := b.Under("Saturated"); len(got) != 2 {
		t.Error(got)
	}
}

func TestSpread(t *testing.T) {
	if s := (Spread{3, 1, 2}); s.Median() != 2 || s.Min() != 1 || s.Max() != 3 {
		t.Error(s)
	}
	if s := (Spread{4, 1, 2, 3}); s.Median() != 2.5 || s[0] != 4 {
		t.Error(s)
	}
}

func TestReadPeers(t *testing.T) {
	p, err := ReadPeers(strings.NewReader(`
{"run":"old","subject":"null sink","load":"max","round":1,"cpu_ns_per_dgram":1}
{"run":"new","machine":"M","subject":"null sink","load":"max","round":1,"cpu_ns_per_dgram":800,"dgram_per_s":500000,"handled":1}
{"run":"new","machine":"M","subject":"other","version":"v1","load":"max","round":1,"cpu_ns_per_dgram":1600,"dgram_per_s":250000,"drop_percent":10,"handled":0.5}
{"run":"new","machine":"M","subject":"other","version":"v1","load":"max","round":2,"cpu_ns_per_dgram":3000,"dgram_per_s":100000,"handled":1}
{"run":"new","machine":"M","subject":"null sink","load":"max","round":2,"cpu_ns_per_dgram":1000,"dgram_per_s":400000,"handled":1}
{"run":"new","machine":"M","subject":"other","version":"v1","load":"5000","round":1,"cpu_ns_per_dgram":3000}
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Run != "new" || p.Machine != "M" || !reflect.DeepEqual(p.Loads(), []string{"max"}) || len(p.Under("max")) != 2 {
		t.Fatalf("%+v", p)
	}
	want := Peer{Subject: "other", Version: "v1", Load: "max", CPU: Spread{1600, 3000}, XNull: Spread{2, 3},
		Rate: Spread{250000, 100000}, XRate: Spread{0.5, 0.25}, Dropped: Spread{10, 0}, Handled: Spread{50, 100}}
	if !reflect.DeepEqual(*p.Peers[1], want) {
		t.Errorf("%+v", *p.Peers[1])
	}
	for _, bad := range []string{"", "{", `{"run":"new","subject":"other"}`} {
		if _, err := ReadPeers(strings.NewReader(bad)); err == nil {
			t.Errorf("%q has no error", bad)
		}
	}
}
