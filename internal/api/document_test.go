package api

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// documented is what a row of docs/metrics.md says of a series, and what the exposition shows of it.
type documented struct {
	kind   string
	labels map[string][]string // label → its values, sorted; none in a row whose values cannot be listed
}

// TestDocument holds docs/metrics.md to the exposition, in both directions: names, types, labels, and the values of
// those labels whose values the document lists.
func TestDocument(t *testing.T) {
	const file = "../../docs/metrics.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, shown := documentRows(t, string(text)), shownSeries(t)
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		row, ok := rows[name]
		if !ok {
			t.Errorf("%s is not in %s", name, file)
			continue
		}
		if row.kind != shown[name].kind {
			t.Errorf("%s is a %s, not a %s", name, shown[name].kind, row.kind)
		}
		for label, values := range row.labels {
			if len(values) == 0 {
				shown[name].labels[label] = nil
			}
		}
		if !maps.EqualFunc(row.labels, shown[name].labels, slices.Equal) {
			t.Errorf("%s has the labels %v, not %v", name, shown[name].labels, row.labels)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if _, ok := shown[name]; !ok {
			t.Errorf("%s is in %s only", name, file)
		}
	}
	for _, name := range regexp.MustCompile(`elrar_[a-z_]+`).FindAllString(string(text), -1) {
		if _, ok := shown[name]; !ok {
			t.Errorf("%s speaks of %s", file, name)
		}
	}
}

// documentRows returns the rows of the tables whose first cell is a series.
func documentRows(t *testing.T, text string) map[string]documented {
	t.Helper()
	quoted := regexp.MustCompile("`([^`]*)`")
	rows := map[string]documented{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "| `elrar_") {
			continue
		}
		row := documented{kind: strings.TrimSpace(cells[2]), labels: map[string][]string{}}
		for label := range strings.SplitSeq(cells[3], ";") {
			if words := quoted.FindAllStringSubmatch(label, -1); len(words) > 0 {
				var values []string
				for _, word := range words[1:] {
					values = append(values, word[1])
				}
				slices.Sort(values)
				row.labels[words[0][1]] = values
			}
		}
		name := strings.Trim(cells[1], " `")
		if _, twice := rows[name]; twice {
			t.Errorf("%s has two rows", name)
		}
		rows[name] = row
	}
	return rows
}

// shownSeries returns the series of this program that the exposition shows when there is something of everything.
func shownSeries(t *testing.T) map[string]documented {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(exposition(t)))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]documented{}
	for name, family := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		s := documented{kind: strings.ToLower(family.GetType().String()), labels: map[string][]string{}}
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				values := append(s.labels[pair.GetName()], pair.GetValue())
				slices.Sort(values)
				s.labels[pair.GetName()] = slices.Compact(values)
			}
		}
		shown[name] = s
	}
	return shown
}
