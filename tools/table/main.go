// Command table prints the raw results as Markdown tables, for BENCHMARKS.md:
//
//	go run -C tools ./table -results ../bench/results
//
// Each cell is the median and, in brackets, the least and the most of all runs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/elrar/state-gateway/tools/results"
)

func main() {
	folder := flag.String("results", "../bench/results", "folder of bench.txt and peers.jsonl; what is not there is left out")
	flag.Parse()
	if err := errors.Join(
		print(filepath.Join(*folder, "bench.txt"), benchTables),
		print(filepath.Join(*folder, "peers.jsonl"), peerTables),
	); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func print(name string, tables func(io.Writer, io.Reader) error) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "table: there is no", name)
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	if err := tables(os.Stdout, file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// benchTables writes a table for each group of benchmarks, with a column for each metric that any of them has.
func benchTables(w io.Writer, r io.Reader) error {
	bench, err := results.ReadBench(r)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n", strings.Join(bench.Settings, " · "))
	for _, group := range bench.Groups() {
		var rows [][]string
		head := []string{group, "runs"}
		members := bench.Under(group)
		if len(members) == 0 { // one without sub-benchmarks
			for _, b := range bench.Benchmarks {
				if b.Name == group {
					members = append(members, b)
				}
			}
		}
		for _, b := range members {
			for _, unit := range b.Units {
				if b.Metrics[unit].Max() == 0 && unit == "ns/op" || slices.Contains(head, unit) {
					continue // a benchmark that reports something better
				}
				head = append(head, unit)
			}
		}
		slices.SortStableFunc(head[2:], compareUnits)
		for _, b := range members {
			row := []string{strings.TrimPrefix(b.Name, group+"/"), strconv.Itoa(b.Runs())}
			for _, unit := range head[2:] {
				row = append(row, cell(b.Metrics[unit]))
			}
			rows = append(rows, row)
		}
		writeTable(w, head, rows)
	}
	return nil
}

// peerTables writes a table for each load.
func peerTables(w io.Writer, r io.Reader) error {
	peers, err := results.ReadPeers(r)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s · %s · %s · %s · %s\n", peers.Run, peers.Machine, peers.Kernel, peers.Go, peers.FileSystem)
	for _, load := range peers.Loads() {
		var rows [][]string
		for _, p := range peers.Under(load) {
			rows = append(rows, []string{p.Subject, p.Version, strconv.Itoa(len(p.CPU)), cell(p.CPU), cell(p.XNull), cell(p.Rate),
				cell(p.XRate), cell(p.Dropped), cell(p.Handled)})
		}
		head := load + " datagrams/s"
		if load == "max" {
			head = "saturated"
		}
		writeTable(w, []string{head, "version", "rounds", "cpu-ns/dgram", "xnull", "dgram/s", "xrate", "drop-%", "handled-%"}, rows)
	}
	return nil
}

func writeTable(w io.Writer, head []string, rows [][]string) {
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(head, " | "), "---|"+strings.Repeat("---:|", len(head)-1))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// cell is the median and the range of a metric.
func cell(s results.Spread) string {
	if len(s) == 0 {
		return "–"
	}
	median, low, high := number(s.Median()), number(s.Min()), number(s.Max())
	if low == high {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, low, high)
}

// number writes three significant digits, or more before the point, with commas between thousands.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) < 0.001:
		return "<0.001"
	}
	if math.Abs(v) < 100 {
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
	}
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// usualOrder is that of the columns that most benchmarks have; others follow.
var usualOrder = []string{"cpu-ns/dgram", "xnull", "dgram/s", "xrate", "drop-%", "allocs/dgram", "gcs"}

func compareUnits(a, b string) int { return place(a) - place(b) }

func place(unit string) int {
	if i := slices.Index(usualOrder, unit); i >= 0 {
		return i
	}
	return len(usualOrder)
}
