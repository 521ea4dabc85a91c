package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
	"sigs.k8s.io/yaml"
)

const (
	dashboardFile = root + "/deploy/grafana/dashboards/elrar-state-gateway.json"
	provisioning  = root + "/deploy/grafana/provisioning/"
)

// dashboard is what the checks look at of Grafana's JSON.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               datasource
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                datasource
	}
}

type variable struct {
	Name, Type, Definition string
	Datasource             datasource
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// withVariables returns an expression as Grafana sends it when everything is selected.
var withVariables = strings.NewReplacer("$__rate_interval", "1m", "$instance", "gateway:8080", "$engine", ".*")

// Panels have ids of their own, room of their own, a description, and ask the data source that is selected.
func TestDashboardLayout(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 20 {
		t.Errorf("%q, %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	selected := datasource{"prometheus", "${datasource}"}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over the edge, or over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.Datasource != selected || len(p.Targets) == 0 {
			t.Errorf("%+v", p)
		}
		for _, target := range p.Targets {
			if target.Datasource != selected || target.RefID == "" {
				t.Errorf("%s: %+v", p.Title, target)
			}
		}
	}
	if names := d.Templating.List; len(names) != 3 || names[0].Name != "datasource" || names[0].Type != "datasource" {
		t.Errorf("variables: %+v", names)
	}
}

// Every panel, asked of a Prometheus that has scraped a real gateway, shows something, and its legend names labels that
// are there.
func TestDashboardShowsSomething(t *testing.T) {
	const scrapes, interval = 260, 15 * time.Second // more than the hour that one panel looks back
	all, storage := exported(t), teststorage.New(t)
	t.Cleanup(func() { storage.Close() })
	app := storage.Appender(t.Context())
	for _, s := range scraped(t) {
		with := maps.Clone(s.labels)
		with[model.MetricNameLabel] = s.name
		for i := range int64(scrapes) {
			if _, err := app.Append(0, labels.FromMap(with), i*interval.Milliseconds(), s.value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, math.MaxInt32)
	ask := func(expression string) promql.Vector {
		query, err := engine.NewInstantQuery(t.Context(), storage, nil, expression, time.Unix(0, 0).Add((scrapes-1)*interval))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		defer query.Close()
		result, err := query.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return slices.Clone(result)
	}

	placeholder := regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expression := withVariables.Replace(target.Expr)
			if found := all.wrong(expression); found != nil || strings.Contains(expression, "$") {
				t.Errorf("%s: %v: %s", p.Title, found, expression)
				continue
			}
			result := ask(expression)
			if len(result) == 0 {
				t.Errorf("%s shows nothing: %s", p.Title, expression)
			}
			for _, sample := range result {
				for _, name := range placeholder.FindAllStringSubmatch(target.LegendFormat, -1) {
					if !sample.Metric.Has(name[1]) {
						t.Errorf("%s: %s has no label %s", p.Title, sample.Metric, name[1])
					}
				}
			}
		}
	}

	values := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range readDashboard(t).Templating.List[1:] {
		query := values.FindStringSubmatch(v.Definition)
		if query == nil {
			t.Errorf("%+v", v)
			continue
		}
		result := ask(withVariables.Replace(query[1]))
		if len(result) == 0 || !result[0].Metric.Has(query[2]) {
			t.Errorf("%s offers nothing: %v", v.Definition, result)
		}
	}
}

// Grafana's provisioning files lead to where compose.services.yaml mounts the dashboard, and to its Prometheus.
func TestProvisioning(t *testing.T) {
	var dashboards struct {
		APIVersion int
		Providers  []struct {
			Name, Folder, Type string
			Options            struct{ Path string }
		}
	}
	var sources struct {
		APIVersion  int
		Datasources []struct {
			Name, Type, Access, URL string
			IsDefault               bool
			JSONData                struct{ TimeInterval string }
		}
	}
	var compose struct {
		Services map[string]struct{ Volumes []string }
	}
	for file, into := range map[string]any{
		provisioning + "dashboards/elrar.yaml":       &dashboards,
		provisioning + "datasources/prometheus.yaml": &sources,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	text, err := os.ReadFile(root + "/deploy/compose.services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	if len(dashboards.Providers) != 1 || len(sources.Datasources) != 1 {
		t.Fatalf("%+v %+v", dashboards, sources)
	}
	mount := fmt.Sprintf("./grafana/dashboards:%s:ro", dashboards.Providers[0].Options.Path)
	if !slices.Contains(compose.Services["grafana"].Volumes, mount) {
		t.Errorf("%s is not among %v", mount, compose.Services["grafana"].Volumes)
	}
	if s := sources.Datasources[0]; s.Type != "prometheus" || s.URL != "http://prometheus:9090" || !s.IsDefault {
		t.Errorf("%+v", s)
	}
}
