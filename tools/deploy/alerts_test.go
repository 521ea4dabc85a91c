package deploy

import (
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
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const alertsFile = root + "/deploy/prometheus/alerts.yaml"

// alertRules returns the rules of the file, as Prometheus reads them.
func alertRules(t *testing.T) (all []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alertsFile, false, model.UTF8Validation, parser.NewParser(parser.Options{}), promslog.NewNopLogger())
	for _, err := range errs {
		t.Fatal(err)
	}
	for _, group := range groups.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// Every alert names what the gateway exports, how bad it is, and what to do.
func TestAlertsNameWhatIsExported(t *testing.T) {
	all, known := exported(t), map[string]bool{}
	for _, rule := range alertRules(t) {
		for _, wrong := range all.wrong(rule.Expr) {
			t.Errorf("%s: %s", rule.Alert, wrong)
		}
		if rule.Alert == "" || known[rule.Alert] {
			t.Errorf("%+v has no name, or another's", rule)
		}
		known[rule.Alert] = true
		if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q", rule.Alert, severity)
		}
		if len(rule.Annotations["summary"]) < 20 || len(rule.Annotations["description"]) < 40 {
			t.Errorf("%s: %v", rule.Alert, rule.Annotations)
		}
	}
}

// Whatever docs/metrics.md marks as loss, or as wrong, has an alert.
func TestLossHasAnAlert(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	watched := ""
	for _, rule := range alertRules(t) {
		watched += rule.Expr + "\n"
	}
	marked := regexp.MustCompile("(?m)^\\| `(elrar_\\w+)` .*\\*\\*").FindAllStringSubmatch(string(text), -1)
	if len(marked) < 4 {
		t.Fatalf("only %v", marked)
	}
	for _, row := range marked {
		if !strings.Contains(watched, row[1]) {
			t.Errorf("%s has no alert", row[1])
		}
	}
}

// calm is a gateway with two engines of which nothing is to be said; a test puts other values in their place.
func calm() map[string]string {
	const job = `job="elrar-state-gateway",instance="gateway:8080"`
	return map[string]string{
		`up{` + job + `}`:                                                           "1x120",
		`process_start_time_seconds{` + job + `}`:                                   "1000x120",
		`elrar_gateway_datagrams_received_total{` + job + `}`:                       "0+150x120",
		`elrar_gateway_kernel_dropped_total{` + job + `}`:                           "7x120", // of an hour ago
		`elrar_gateway_read_errors_total{` + job + `}`:                              "3x120",
		`elrar_gateway_identity_conflicts_total{` + job + `}`:                       "1x120",
		`elrar_gateway_engines{status="fresh",` + job + `}`:                         "1x120",
		`elrar_gateway_engines{status="idle",` + job + `}`:                          "1x120",
		`elrar_gateway_engines{status="stale",` + job + `}`:                         "0x120",
		`elrar_engine_up{engine_id="http://a:8000",` + job + `}`:                    "1x120",
		`elrar_engine_up{engine_id="http://b:8000",` + job + `}`:                    "1x120",
		`elrar_engine_clock_skew_seconds{engine_id="http://a:8000",` + job + `}`:    "-0.4x120",
		`elrar_gateway_datagrams_rejected_total{reason="json",` + job + `}`:         "2x120",
		`elrar_gateway_datagrams_rejected_total{reason="engine_limit",` + job + `}`: "0x120",
		`elrar_gateway_log_dropped_total{reason="disk",` + job + `}`:                "9x120",
	}
}

// TestAlerts evaluates all alerts every 15 s over series that were sampled every 15 s.
func TestAlerts(t *testing.T) {
	fired := map[string]bool{}
	for _, test := range []struct {
		name string
		set  map[string]string // by the beginning of a series of calm's, its values, which may be "" for none
		at   time.Duration
		want []string // what fires then
	}{
		{"calm", nil, 30 * time.Minute, nil},
		{"down", map[string]string{"up": "1x19 0x100"}, 6 * time.Minute,
			[]string{"ElrarGatewayDown: The state gateway gateway:8080 does not answer"}},
		{"down for a moment", map[string]string{"up": "1x19 0x2 1x100"}, 6 * time.Minute, nil},
		{"not scraped", map[string]string{"up": ""}, 6 * time.Minute, []string{"ElrarGatewayMissing: Prometheus knows no state gateway"}},
		{"not scraped yet", map[string]string{"up": ""}, 4 * time.Minute, nil},
		{"updated", map[string]string{"process_start_time_seconds": "1000x40 1600x80"}, 20 * time.Minute, nil},
		{"restarts", map[string]string{"process_start_time_seconds": "1000x10 1150x10 1300x10 1450x90"}, 20 * time.Minute,
			[]string{"ElrarGatewayRestarts: The state gateway gateway:8080 keeps restarting"}},
		{"silence", map[string]string{"elrar_gateway_datagrams_received_total": "0+150x20 3000x100"}, 17 * time.Minute,
			[]string{"ElrarNoTraffic: Nothing arrives at gateway:8080"}},
		{"silence for 5 min", map[string]string{"elrar_gateway_datagrams_received_total": "0+150x20 3000x100"}, 11 * time.Minute, nil},
		{"kernel drops", map[string]string{"elrar_gateway_kernel_dropped_total": "7x40 7+30x80"}, 15 * time.Minute,
			[]string{"ElrarKernelDrops: States are lost before gateway:8080 can read them"}},
		{"read errors", map[string]string{"elrar_gateway_read_errors_total": "3x40 3+1x80"}, 20 * time.Minute,
			[]string{"ElrarReadErrors: Reads of the UDP sockets fail on gateway:8080"}},
		{"table full", map[string]string{`elrar_gateway_datagrams_rejected_total{reason="engine_limit"`: "0+5x120"}, 10 * time.Minute,
			[]string{"ElrarEngineLimit: The table of gateway:8080 is full"}},
		{"invalid", map[string]string{`elrar_gateway_datagrams_rejected_total{reason="json"`: "2+1x120"}, 10 * time.Minute,
			[]string{"ElrarInvalidStates: gateway:8080 receives what is no valid state (json)"}},
		{"a few invalid", map[string]string{`elrar_gateway_datagrams_rejected_total{reason="json"`: "2x40 6x80"}, 12 * time.Minute, nil},
		{"log drops", map[string]string{"elrar_gateway_log_dropped_total": "9+1x120"}, 10 * time.Minute,
			[]string{"ElrarLogDrops: Lines are missing from the state log of gateway:8080 (disk)"}},
		{"conflict", map[string]string{"elrar_gateway_identity_conflicts_total": "1x40 2x80"}, 11 * time.Minute,
			[]string{"ElrarIdentityConflict: Two senders use one engine_id at gateway:8080"}},
		{"engine silent", map[string]string{`elrar_engine_up{engine_id="http://b:8000"`: "1x40 0x80"}, 11 * time.Minute,
			[]string{"ElrarEngineStale: The engine http://b:8000 is silent"}},
		{"half of the fleet silent", map[string]string{`elrar_gateway_engines{status="idle"`: "0x120", `elrar_gateway_engines{status="stale"`: "1x120"},
			10 * time.Minute, nil},
		{"all of the fleet silent", map[string]string{`elrar_gateway_engines{status="idle"`: "0x120", `elrar_gateway_engines{status="fresh"`: "0x120",
			`elrar_gateway_engines{status="stale"`: "2x120"}, 10 * time.Minute,
			[]string{"ElrarFleetStale: 2 engines of gateway:8080 are silent at once"}},
		{"skew", map[string]string{"elrar_engine_clock_skew_seconds": "-90x120"}, 10 * time.Minute,
			[]string{"ElrarClockSkew: The clock of http://a:8000 is off by 1m 30s"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := firing(t, test.set, test.at)
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			for _, alert := range got {
				name, _, _ := strings.Cut(alert, ":")
				fired[name] = true
			}
		})
	}
	for _, rule := range alertRules(t) {
		if !fired[rule.Alert] {
			t.Errorf("%s never fires here", rule.Alert)
		}
	}
}

// firing returns the names and summaries of the alerts that fire, sorted; not of those whose time is not up yet.
func firing(t *testing.T, set map[string]string, at time.Duration) (found []string) {
	t.Helper()
	input := "load 15s\n"
	values := calm()
	for beginning, value := range set {
		replaced := 0
		for name := range values {
			if strings.HasPrefix(name, beginning) {
				values[name] = value
				replaced++
			}
		}
		if replaced != 1 {
			t.Fatalf("%d series begin with %s", replaced, beginning)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != "" {
			input += fmt.Sprintf("  %s %s\n", name, values[name])
		}
	}
	storage := promqltest.LoadedStorage(t, input)
	t.Cleanup(func() { storage.Close() })
	query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, math.MaxInt32), storage)
	for _, r := range alertRules(t) {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		rule := rules.NewAlertingRule(r.Alert, expression, time.Duration(r.For), time.Duration(r.KeepFiringFor),
			labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, promslog.NewNopLogger())
		for now := time.Duration(0); now <= at; now += 15 * time.Second {
			if _, err := rule.Eval(t.Context(), 0, time.Unix(0, 0).Add(now), query, nil, 0); err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
		}
		for _, alert := range rule.ActiveAlerts() {
			for _, text := range []string{alert.Annotations.Get("summary"), alert.Annotations.Get("description")} {
				if strings.Contains(text, "no value") || strings.Contains(text, "error expanding") {
					t.Errorf("%s: %s", r.Alert, text)
				}
			}
			if alert.State == rules.StateFiring {
				found = append(found, r.Alert+": "+alert.Annotations.Get("summary"))
			}
		}
	}
	slices.Sort(found)
	return found
}

// Prometheus itself reads its configuration; the job is the one that the alerts speak of, and they are among its rules.
func TestPrometheusConfiguration(t *testing.T) {
	const file = root + "/deploy/prometheus/prometheus.yml"
	c, err := config.LoadFile(file, false, promslog.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := c.GetScrapeConfigs()
	if err != nil || len(jobs) != 1 || jobs[0].JobName != "elrar-state-gateway" || jobs[0].MetricsPath != "/metrics" {
		t.Errorf("%v, %+v", err, jobs)
	}
	if len(c.RuleFiles) != 1 || !strings.HasSuffix(c.RuleFiles[0], "/alerts.yaml") {
		t.Errorf("rules: %v", c.RuleFiles)
	}
}

// incident evaluates one alert every 15 s over series that were sampled every 15 s, and returns when it fired.
func incident(t *testing.T, name, input string, until time.Duration) (fired []time.Duration) {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 15s\n"+input)
	t.Cleanup(func() { storage.Close() })
	query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, math.MaxInt32), storage)
	for _, r := range alertRules(t) {
		if r.Alert != name {
			continue
		}
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		rule := rules.NewAlertingRule(r.Alert, expression, time.Duration(r.For), time.Duration(r.KeepFiringFor),
			labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, promslog.NewNopLogger())
		for now := time.Duration(0); now <= until; now += 15 * time.Second {
			if _, err := rule.Eval(t.Context(), 0, time.Unix(0, 0).Add(now), query, nil, 0); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(rule.ActiveAlerts(), func(a *rules.Alert) bool { return a.State == rules.StateFiring }) {
				fired = append(fired, now)
			}
		}
		return fired
	}
	t.Fatalf("no alert %s", name)
	return nil
}

// Whole incidents, at the default settings: what is silent from 10:00 on is removed at 15:00. Each alert fires without a
// gap from one time to the other, or never.
func TestIncidents(t *testing.T) {
	const (
		i     = `instance="gateway:8080"`
		fresh = `elrar_gateway_engines{status="fresh",` + i + `} `
		stale = `elrar_gateway_engines{status="stale",` + i + `} `
		up    = `elrar_engine_up{engine_id="a",` + i + `} `
		reads = `elrar_gateway_datagrams_received_total{` + i + `} `
	)
	for _, test := range []struct {
		name, alert, input string
		from, to           time.Duration // 0, 0: never
	}{
		{"all silent", "ElrarFleetStale", fresh + "8x39 0x400\n" + stale + "0x39 8x19 0x380\n", 630 * time.Second, 71*time.Minute + 30*time.Second},
		{"all silent", "ElrarNoTraffic", reads + "0+600x39 23400x400\n", 19*time.Minute + 30*time.Second, 100 * time.Minute},
		{"the gateway restarts meanwhile", "ElrarFleetStale", fresh + "8x39 0x39 stale _x3 0x356\n" + stale + "0x39 8x19 0x19 stale _x3 0x356\n",
			630 * time.Second, 71*time.Minute + 30*time.Second},
		{"all back", "ElrarFleetStale", fresh + "8x39 0x79 8x320\n" + stale + "0x39 8x19 0x380\n", 630 * time.Second, 31*time.Minute + 45*time.Second},
		{"one of eight", "ElrarFleetStale", fresh + "8x39 7x400\n" + stale + "0x39 1x19 0x380\n", 0, 0},
		{"a healthy restart", "ElrarFleetStale", fresh + "8x39 stale _x1 0 8x400\n" + stale + "0x39 stale _x1 0 0x400\n", 0, 0},
		{"no fleet ever", "ElrarFleetStale", fresh + "0x400\n" + stale + "0x400\n", 0, 0},
		{"one engine dies", "ElrarEngineStale", up + "1x39 0x19 stale _x380\n", 630 * time.Second, 74*time.Minute + 30*time.Second},
		{"it comes back", "ElrarEngineStale", up + "1x39 0x19 stale _x39 1x300\n", 630 * time.Second, 24*time.Minute + 45*time.Second},
		{"it goes while it lives", "ElrarEngineStale", up + "1x39 stale _x380\n", 0, 0},
	} {
		t.Run(test.name+" "+test.alert, func(t *testing.T) {
			fired := incident(t, test.alert, test.input, 100*time.Minute)
			if len(fired) == 0 || test.to == 0 {
				if len(fired) != 0 || test.to != 0 {
					t.Errorf("fires %v, want %v to %v", fired, test.from, test.to)
				}
				return
			}
			first, last := fired[0], fired[len(fired)-1]
			if gapless := int((last-first)/(15*time.Second)) + 1; len(fired) != gapless {
				t.Errorf("%d of %d evaluations fire: a gap", len(fired), gapless)
			}
			if first != test.from || last != test.to {
				t.Errorf("fires from %v to %v, want %v to %v", first, last, test.from, test.to)
			}
		})
	}
}
