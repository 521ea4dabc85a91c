// Command plot draws the raw results as pictures, for BENCHMARKS.md:
//
//	go run -C tools ./plot -results ../bench/results
//
// It reads bench.txt (go test -bench, of ./bench), watch.txt (the same, -bench Watch) and peers.jsonl (bench/peers/run), and
// writes beside them stages.svg, engines.svg, visible.svg and peers.svg. A bar or a point is the median of all runs, its line
// goes from the least to the most.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/elrar/state-gateway/tools/results"
)

func main() {
	folder := flag.String("results", "../bench/results", "folder of the results, and of the pictures")
	flag.Parse()
	if err := errors.Join(drawBench(*folder), drawWatch(*folder), drawPeers(*folder)); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

// picture is a plot and its size.
type picture struct {
	*plot.Plot
	width, height vg.Length
}

func drawBench(folder string) error {
	bench, err := read(filepath.Join(folder, "bench.txt"), results.ReadBench)
	if err != nil {
		return err
	}
	stages, err := stages(bench)
	if err != nil {
		return err
	}
	engines, err := engines(bench)
	if err != nil {
		return err
	}
	return errors.Join(save(stages, filepath.Join(folder, "stages.svg")), save(engines, filepath.Join(folder, "engines.svg")))
}

func drawWatch(folder string) error {
	bench, err := read(filepath.Join(folder, "watch.txt"), results.ReadBench)
	if err != nil {
		return err
	}
	picture, err := visible(bench)
	if err != nil {
		return err
	}
	return save(picture, filepath.Join(folder, "visible.svg"))
}

func drawPeers(folder string) error {
	all, err := read(filepath.Join(folder, "peers.jsonl"), results.ReadPeers)
	if err != nil {
		return err
	}
	picture, err := peers(all)
	if err != nil {
		return err
	}
	return save(picture, filepath.Join(folder, "peers.svg"))
}

func read[T any](name string, parse func(io.Reader) (*T, error)) (*T, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t, err := parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

// stageNames are what the picture calls the benchmarks of BenchmarkSaturated; others keep their names.
var stageNames = map[string]string{
	"null-sink":       "null sink",
	"x-net-ReadBatch": "x/net ReadBatch,\nthrown away",
	"gateway/log=off": "gateway, log off",
	"gateway/log=on":  "gateway, log on",
	"naive/log=on":    "naive gateway,\nlog on",
}

// stages is what a datagram costs, from throwing it away to a naive gateway.
func stages(bench *results.Bench) (picture, error) {
	var rows []row
	runs := 0
	for _, b := range bench.Under("Saturated") {
		if ratio := b.Metrics["xnull"]; ratio != nil {
			name := strings.TrimPrefix(b.Name, "Saturated/")
			if label, ok := stageNames[name]; ok {
				name = label
			}
			rows = append(rows, row{name, []results.Spread{ratio}, []string{valueText(ratio)}})
			runs = max(runs, b.Runs())
		}
	}
	if len(rows) == 0 {
		return picture{}, errors.New("bench.txt has no BenchmarkSaturated with xnull")
	}
	return horizontal("What a datagram costs, by stage",
		fmt.Sprintf("CPU per datagram at saturation ÷ null sink\nmedian of %d runs, least to most; %s", runs, machine(bench)), rows, nil)
}

// engines is what a datagram costs with more engines than 100.
func engines(bench *results.Bench) (picture, error) {
	points := []point{{100, results.Spread{1}}}
	runs := 0
	for _, b := range bench.Under("Engines") {
		n, err := strconv.Atoi(strings.TrimPrefix(b.Name, "Engines/"))
		if ratio := b.Metrics["xnull"]; err == nil && ratio != nil {
			points = append(points, point{float64(n), ratio})
			runs = max(runs, b.Runs())
		}
	}
	if len(points) == 1 {
		return picture{}, errors.New("bench.txt has no BenchmarkEngines with xnull")
	}
	return logarithmic("What a datagram costs, by number of engines", "engines",
		fmt.Sprintf("CPU per datagram ÷ that with 100 engines\nlog off, median of %d runs, least to most", runs), points)
}

// visibleNames are what the picture calls the benchmarks of BenchmarkWatchVisible.
var visibleNames = map[string]string{
	"watch":  "/v1/watch",
	"poll":   "/v1/engine-states,\npolled at 10 Hz",
	"scrape": "no gateway: each\nengine every 50 ms",
}

// visible is how long it takes until a router has a state.
func visible(bench *results.Bench) (picture, error) {
	var rows []row
	runs := 0
	for _, b := range bench.Under("WatchVisible") {
		p50, p99 := b.Metrics["p50-ms"], b.Metrics["p99-ms"]
		name := visibleNames[strings.TrimPrefix(b.Name, "WatchVisible/")]
		if p50 == nil || p99 == nil || name == "" {
			continue
		}
		text := fmt.Sprintf("%.0f ms", p99.Median())
		if seen := b.Metrics["seen-%"]; seen != nil && seen.Median() < 99 {
			text += fmt.Sprintf(", %.0f %% seen", seen.Median())
		}
		rows = append(rows, row{name, []results.Spread{p50, p99}, []string{fmt.Sprintf("%.0f ms", p50.Median()), text}})
		runs = max(runs, b.Runs())
	}
	if len(rows) == 0 {
		return picture{}, errors.New("watch.txt has no BenchmarkWatchVisible with p50-ms and p99-ms")
	}
	return horizontal("How old a state is when a router has it",
		fmt.Sprintf("ms since the engine took it; 1,000 engines that take one every 200 ms\nmedian of %d runs, least to most; %s", runs, machine(bench)),
		rows, []string{"half of the states", "99 % of the states"})
}

// peers is what a datagram costs the gateway and other programs, under each load.
func peers(all *results.Peers) (picture, error) {
	loads := all.Loads()
	var legend []string
	for _, load := range loads {
		if load == "max" {
			legend = append(legend, "saturated")
		} else {
			legend = append(legend, load+" datagrams/s")
		}
	}
	var rows []row
	byName := map[string]int{}
	runs := 0
	for i, load := range loads {
		for _, p := range all.Under(load) {
			k, known := byName[p.Subject]
			if !known {
				k = len(rows)
				byName[p.Subject] = k
				rows = append(rows, row{strings.Replace(p.Subject, ", ", ",\n", 1), make([]results.Spread, len(loads)), make([]string, len(loads))})
			}
			rows[k].values[i], rows[k].texts[i] = p.XNull, valueText(p.XNull)
			if share := p.Handled.Median(); share < 99 {
				rows[k].texts[i] += fmt.Sprintf(", %.0f %% handled", share)
			}
			runs = max(runs, len(p.XNull))
		}
	}
	return horizontal("The gateway and others",
		fmt.Sprintf("CPU per datagram handled ÷ null sink under the same load\nmedian of %d rounds, least to most; %s", runs, all.Machine), rows, legend)
}

func valueText(s results.Spread) string {
	if s.Median() >= 10 {
		return fmt.Sprintf("%.1f", s.Median())
	}
	return fmt.Sprintf("%.2f", s.Median())
}

// machine returns the processor that go test names.
func machine(bench *results.Bench) string {
	for _, setting := range bench.Settings {
		if name, ok := strings.CutPrefix(setting, "cpu: "); ok {
			return name
		}
	}
	return "unknown processor"
}

// save writes a picture as SVG.
func save(p picture, name string) error {
	canvas := &outlined{Canvas: vgsvg.New(p.width, p.height)}
	p.Draw(draw.Crop(draw.New(canvas), 8, -12, 8, -8))
	if canvas.err != nil {
		return canvas.err
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}
