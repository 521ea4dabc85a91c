package main

import (
	"strings"
	"testing"

	"github.com/elrar/state-gateway/tools/results"
)

func TestCell(t *testing.T) {
	for _, test := range []struct {
		in   results.Spread
		want string
	}{
		{nil, "–"},
		{results.Spread{0, 0}, "0"},
		{results.Spread{1.234, 1.2341}, "1.23"},
		{results.Spread{1.7, 1.6512, 1.8}, "1.70 (1.65–1.80)"},
		{results.Spread{0.01234}, "0.0123"},
		{results.Spread{0, 0.0000249, 0.0009}, "<0.001 (0–<0.001)"},
		{results.Spread{99.99, 12.34}, "56.2 (12.3–100.0)"},
		{results.Spread{1234567, 842.4, 842.4}, "842 (842–1,234,567)"},
	} {
		if got := cell(test.in); got != test.want {
			t.Errorf("%v: %s, want %s", test.in, got, test.want)
		}
	}
}

func TestBenchTables(t *testing.T) {
	var b strings.Builder
	err := benchTables(&b, strings.NewReader(`cpu: A Processor
BenchmarkSaturated/null-sink-2 1 0 ns/op 1.01 xnull 840 cpu-ns/dgram
BenchmarkSaturated/naive-2 1 0 ns/op 8400 cpu-ns/dgram 10.0 xnull 7 gcs
BenchmarkSaturated/naive-2 1 0 ns/op 8200 cpu-ns/dgram 9.80 xnull 9 gcs
BenchmarkEngineStates-2 100 12 ns/op
`))
	const want = `cpu: A Processor

| Saturated | runs | cpu-ns/dgram | xnull | gcs |
|---|---:|---:|---:|---:|
| null-sink | 1 | 840 | 1.01 | – |
| naive | 2 | 8,300 (8,200–8,400) | 9.90 (9.80–10.0) | 8.00 (7.00–9.00) |

| EngineStates | runs | ns/op |
|---|---:|---:|
| EngineStates | 1 | 12.0 |
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}
