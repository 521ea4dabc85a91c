package deploy

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// series is what the gateway exports: the labels of each name, and their values.
type series map[string]map[string][]string

// exported returns what a running gateway exports.
func exported(t *testing.T) series {
	t.Helper()
	all := series{"up": {"job": {"elrar-state-gateway"}, "instance": {"gateway:8080"}}} // Prometheus' own, of each target
	for _, s := range scraped(t) {
		if all[s.name] == nil {
			all[s.name] = map[string][]string{}
		}
		for name, value := range s.labels {
			if !slices.Contains(all[s.name][name], value) {
				all[s.name][name] = append(all[s.name][name], value)
			}
		}
	}
	return all
}

// fromOutside are the labels whose values are not the gateway's own, so that any may be asked for.
var fromOutside = []string{"engine_id", "instance"}

// wrong returns what an expression names and the gateway does not export: metrics, labels, and values of labels.
func (all series) wrong(expression string) (found []string) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return []string{err.Error()}
	}
	selected := map[string]bool{} // the labels of what is selected
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		known, ok := all[selector.Name]
		if !ok {
			found = append(found, "nothing exports "+selector.Name)
			return nil
		}
		for label := range known {
			selected[label] = true
		}
		for _, m := range selector.LabelMatchers {
			values, ok := known[m.Name]
			switch {
			case m.Name == model.MetricNameLabel || slices.Contains(fromOutside, m.Name) && ok:
			case !ok:
				found = append(found, fmt.Sprintf("%s has no label %s but %v", selector.Name, m.Name, slices.Sorted(maps.Keys(known))))
			case (m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual) && !slices.Contains(values, m.Value):
				found = append(found, fmt.Sprintf("%s of %s is never %q but %v", m.Name, selector.Name, m.Value, values))
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		var named []string
		switch n := node.(type) {
		case *parser.AggregateExpr:
			named = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				named = slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include)
			}
		}
		for _, label := range named {
			if !selected[label] {
				found = append(found, "nothing selected has the label "+label)
			}
		}
		return nil
	})
	return found
}

// TestWrong shows that wrong finds what it is for.
func TestWrong(t *testing.T) {
	all := exported(t)
	for _, expression := range []string{
		`rate(elrar_gateway_kernel_drops_total[5m])`,
		`elrar_gateway_engines{state="stale"}`,
		`elrar_gateway_engines{status="dead"}`,
		`sum by (reason) (elrar_gateway_engines)`,
		`elrar_engine_up == on (socket) elrar_engine_pending_tokens`,
		`sum(`,
	} {
		if all.wrong(expression) == nil {
			t.Errorf("%s passes", expression)
		}
	}
}
