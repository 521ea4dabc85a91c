package results

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// Spread is what one metric was in several runs.
type Spread []float64

// Median returns the middle value, or the mean of the two in the middle; NaN of nothing is the caller's to avoid.
func (s Spread) Median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Min returns the least value.
func (s Spread) Min() float64 { return slices.Min(s) }

// Max returns the greatest value.
func (s Spread) Max() float64 { return slices.Max(s) }

// Benchmark is all runs of one benchmark.
type Benchmark struct {
	Name    string            // without "Benchmark" and the number of processors: "Saturated/null-sink"
	Units   []string          // in the order in which they were reported
	Metrics map[string]Spread // by unit
}

// Runs returns how often the benchmark was run.
func (b *Benchmark) Runs() int { return len(b.Metrics[b.Units[0]]) }

// Bench is the output of go test -bench.
type Bench struct {
	Settings   []string // what it says of the machine: "goos: linux", …
	Benchmarks []*Benchmark
}

// ReadBench reads the output of go test -bench. Lines that are no results, such as a test's messages, are passed over.
func ReadBench(r io.Reader) (*Bench, error) {
	var b Bench
	byName := map[string]*Benchmark{}
	reader := benchfmt.NewReader(r, "")
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, c := range result.Config {
			if setting := fmt.Sprintf("%s: %s", c.Key, c.Value); c.File && !slices.Contains(b.Settings, setting) {
				b.Settings = append(b.Settings, setting)
			}
		}
		name := benchmarkName(result.Name)
		benchmark := byName[name]
		if benchmark == nil {
			benchmark = &Benchmark{Name: name, Metrics: map[string]Spread{}}
			byName[name] = benchmark
			b.Benchmarks = append(b.Benchmarks, benchmark)
		}
		for _, v := range result.Values {
			unit, value := v.Unit, v.Value
			if v.OrigUnit != "" { // benchfmt makes seconds of ns
				unit, value = v.OrigUnit, v.OrigValue
			}
			if _, known := benchmark.Metrics[unit]; !known {
				benchmark.Units = append(benchmark.Units, unit)
			}
			benchmark.Metrics[unit] = append(benchmark.Metrics[unit], value)
		}
	}
	return &b, reader.Err()
}

func benchmarkName(name benchfmt.Name) string {
	base, parts := name.Parts()
	var b strings.Builder
	b.Write(base)
	for i, part := range parts {
		if i == len(parts)-1 && part[0] == '-' { // GOMAXPROCS
			break
		}
		b.Write(part)
	}
	return b.String()
}

// Under returns the benchmarks whose names begin with group and a slash.
func (b *Bench) Under(group string) (some []*Benchmark) {
	for _, benchmark := range b.Benchmarks {
		if strings.HasPrefix(benchmark.Name, group+"/") {
			some = append(some, benchmark)
		}
	}
	return some
}

// Groups returns the names of the benchmarks up to the first slash.
func (b *Bench) Groups() (groups []string) {
	for _, benchmark := range b.Benchmarks {
		group, _, _ := strings.Cut(benchmark.Name, "/")
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups
}
