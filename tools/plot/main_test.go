package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

const someBench = `cpu: A Processor
BenchmarkSaturated/null-sink-2 1 1.01 xnull
BenchmarkSaturated/gateway/log=on-2 1 2.00 xnull
BenchmarkSaturated/gateway/log=on-2 1 2.20 xnull
BenchmarkEngines/10000-2 1 1.10 xnull
BenchmarkEngines/100000-2 1 1.40 xnull
`

const someWatch = `cpu: A Processor
BenchmarkWatchVisible/watch-2 1 26.1 p50-ms 52.0 p99-ms 99.5 seen-%
BenchmarkWatchVisible/poll-2 1 57.0 p50-ms 103.0 p99-ms 99.1 seen-%
BenchmarkWatchVisible/scrape-2 1 112.0 p50-ms 424.0 p99-ms 95.7 seen-%
`

const somePeers = `{"run":"r","machine":"M","subject":"null sink","load":"max","round":1,"cpu_ns_per_dgram":800,"handled":1}
{"run":"r","machine":"M","subject":"other","load":"max","round":1,"cpu_ns_per_dgram":1600,"handled":0.5}
{"run":"r","machine":"M","subject":"null sink","load":"5000","round":1,"cpu_ns_per_dgram":800,"handled":1}
`

func TestPictures(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"bench.txt": someBench, "watch.txt": someWatch, "peers.jsonl": somePeers} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{drawBench(folder), drawWatch(folder), drawPeers(folder)} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"stages.svg", "engines.svg", "visible.svg", "peers.svg"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !strings.Contains(string(text), "<path") || strings.Contains(string(text), "<text") || strings.Contains(string(text), "NaN") {
			t.Error(name, len(text), err)
		}
	}
}

// TestNothingToDraw: results without the benchmarks are an error, not an empty picture.
func TestNothingToDraw(t *testing.T) {
	folder := t.TempDir()
	if drawBench(folder) == nil || drawWatch(folder) == nil || drawPeers(folder) == nil {
		t.Error("no results")
	}
	if err := os.WriteFile(filepath.Join(folder, "bench.txt"), []byte("PASS\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if drawBench(folder) == nil {
		t.Error("no benchmarks")
	}
}

func TestTicks(t *testing.T) {
	labels := func(ticks []plot.Tick) (all []string) {
		for _, tick := range ticks {
			all = append(all, tick.Label)
		}
		return all
	}
	if got := labels(plainTicks{}.Ticks(0, 13)); !reflect.DeepEqual(got, []string{"0", "2", "4", "6", "8", "10", "12"}) {
		t.Error(got)
	}
	if got := labels(plainTicks{}.Ticks(0, 1.3)); !reflect.DeepEqual(got, []string{"0", "0.2", "0.4", "0.6", "0.8", "1", "1.2"}) {
		t.Error(got)
	}
	if got := labels(powersOfTen{}.Ticks(60, 200_000)); !reflect.DeepEqual(got, []string{"100", "1,000", "10,000", "100,000"}) {
		t.Error(got)
	}
}
