package deploy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const (
	scrape      = 15 * time.Second // deploy/prometheus/prometheus.yml
	staleAfter  = 2 * time.Second  // the default of STALE_THRESHOLD
	removeAfter = 5 * time.Minute  // of REMOVE_AFTER
	forEver     = 100 * time.Hour
)

// spell is a time in which something is so.
type spell struct{ from, to time.Duration }

// incident is a gateway's history: when engines are heard, and when the gateway does not run.
type incident struct {
	engines map[string][]spell
	down    []spell
}

func (i incident) up(at time.Duration) bool {
	return !slices.ContainsFunc(i.down, func(s spell) bool { return s.from <= at && at < s.to })
}

// lastHeard returns when an engine was heard last by a gateway that has not been restarted since; ok is false if never.
func (i incident) lastHeard(engine string, at time.Duration) (last time.Duration, ok bool) {
	began := time.Duration(0)
	for _, d := range i.down {
		if d.to <= at {
			began = d.to
		}
	}
	for _, s := range i.engines[engine] {
		if s.from <= at && s.to > began {
			last, ok = min(s.to, at), true
		}
	}
	return last, ok
}

// series renders what Prometheus scrapes until an end.
func (i incident) series(end time.Duration) string {
	const job = `job="elrar-state-gateway",instance="gateway:8080"`
	samples := map[string][]string{}
	put := func(name, value string) { samples[name] = append(samples[name], value) }
	received := 0
	for at := time.Duration(0); at <= end; at += scrape {
		up := i.up(at)
		if !up {
			received = 0
		}
		heard, silent := 0, 0
		for engine := range i.engines {
			last, known := i.lastHeard(engine, at)
			value := "stale" // Prometheus' mark for a series that has ended
			switch {
			case !up || !known || at-last > removeAfter:
			case at-last > staleAfter:
				value = "0"
				silent++
			default:
				value = "1"
				heard++
			}
			put(`elrar_engine_up{engine_id="`+engine+`",`+job+`}`, value)
		}
		received += heard * 75
		scraped := func(value int) string {
			if !up {
				return "stale"
			}
			return fmt.Sprint(value)
		}
		put("up{"+job+"}", map[bool]string{true: "1", false: "0"}[up])
		put("elrar_gateway_datagrams_received_total{"+job+"}", scraped(received))
		put(`elrar_gateway_engines{status="fresh",`+job+"}", scraped(heard))
		put(`elrar_gateway_engines{status="idle",`+job+"}", scraped(0))
		put(`elrar_gateway_engines{status="stale",`+job+"}", scraped(silent))
	}
	text := "load 15s\n"
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		text += "  " + name + " " + strings.Join(samples[name], " ") + "\n"
	}
	return text
}

// alarms evaluates the alerts on silence as Prometheus does, and returns when each of them fired.
func (i incident) alarms(t *testing.T, end time.Duration) map[string][]spell {
	t.Helper()
	storage := promqltest.LoadedStorage(t, i.series(end))
	t.Cleanup(func() { storage.Close() })
	query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, math.MaxInt32), storage)
	alarms := map[string][]spell{}
	for _, r := range alertRules(t) {
		if !slices.Contains([]string{"ElrarEngineStale", "ElrarFleetStale", "ElrarNoTraffic", "ElrarGatewayDown"}, r.Alert) {
			continue
		}
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		rule := rules.NewAlertingRule(r.Alert, expression, time.Duration(r.For), time.Duration(r.KeepFiringFor),
			labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, promslog.NewNopLogger())
		for now := time.Duration(0); now <= end; now += scrape {
			if _, err := rule.Eval(t.Context(), 0, time.Unix(0, 0).Add(now), query, nil, 0); err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			for _, alert := range rule.ActiveAlerts() {
				if alert.State != rules.StateFiring {
					continue
				}
				name := strings.TrimPrefix(r.Alert, "Elrar")
				if engine := alert.Labels.Get("engine_id"); engine != "" {
					name += " " + engine
				}
				if s := alarms[name]; len(s) > 0 && s[len(s)-1].to == now {
					s[len(s)-1].to = now + scrape
				} else {
					alarms[name] = append(s, spell{now, now + scrape})
				}
			}
		}
	}
	return alarms
}

// Whole incidents at the default settings. Each alert fires once: from soon after its cause until the cause is over, or until
// an hour has passed in which nobody minded. In between there is no gap.
func TestIncidents(t *testing.T) {
	const at, minute, hour = 2 * time.Hour, time.Minute, time.Hour // before at all is well, but for a fleet that never was
	always, until := []spell{{0, forEver}}, []spell{{0, at}}
	pausing := func(d time.Duration) []spell { return []spell{{0, at}, {at + d, forEver}} }
	// fleet is four engines, of which some are heard at other times.
	fleet := func(other map[string][]spell) map[string][]spell {
		all := map[string][]spell{"a": always, "b": always, "c": always, "d": always}
		maps.Copy(all, other)
		return all
	}
	every := func(s []spell) map[string][]spell { return map[string][]spell{"a": s, "b": s, "c": s, "d": s} }
	everyone := func(s spell, other map[string]spell) map[string]spell {
		all := map[string]spell{"EngineStale a": s, "EngineStale b": s, "EngineStale c": s, "EngineStale d": s}
		maps.Copy(all, other)
		return all
	}
	for _, test := range []struct {
		name string
		incident
		end  time.Duration // of what is looked at, from the incident on
		want map[string]spell
	}{
		{"all is well", incident{engines: fleet(nil)}, hour, nil},
		{"the gateway is updated", incident{engines: fleet(nil), down: []spell{{at, at + 20*time.Second}}}, hour, nil},
		{"all fall silent, and come back after 40 min", incident{engines: every(pausing(40 * minute))}, 2 * hour,
			everyone(spell{0, 40 * minute}, map[string]spell{"FleetStale": {0, 40 * minute}, "NoTraffic": {10 * minute, 40 * minute}})},
		{"all fall silent for good", incident{engines: every(until)}, 3 * hour,
			everyone(spell{0, hour}, map[string]spell{"FleetStale": {0, hour}, "NoTraffic": {10 * minute, 3 * hour}})},
		{"all fall silent, and the gateway is restarted meanwhile", incident{engines: every(until), down: []spell{{at + 3*minute, at + 3*minute + 20*time.Second}}},
			40 * minute, everyone(spell{0, 40 * minute}, map[string]spell{"FleetStale": {0, 40 * minute}, "NoTraffic": {10 * minute, 40 * minute}})},
		{"one engine dies", incident{engines: fleet(map[string][]spell{"d": until})}, 2 * hour, map[string]spell{"EngineStale d": {0, hour}}},
		{"one engine dies and is mended", incident{engines: fleet(map[string][]spell{"d": pausing(20 * minute)})}, hour,
			map[string]spell{"EngineStale d": {0, 20 * minute}}},
		{"one engine dies, and another takes its place", incident{engines: fleet(map[string][]spell{"d": until, "e": {{at + 10*minute, forEver}}})}, hour,
			map[string]spell{"EngineStale d": {0, 10 * minute}}},
		{"an engine moves to another id", incident{engines: fleet(map[string][]spell{"d": until, "e": {{at, forEver}}})}, hour,
			map[string]spell{"EngineStale d": {0, removeAfter}}},
		{"an engine flaps", incident{engines: fleet(map[string][]spell{"d": {{0, at}, {at + 10*time.Second, at + 40*time.Second}, {at + 55*time.Second, forEver}}})}, hour, nil},
		{"half of the fleet is shut down", incident{engines: fleet(map[string][]spell{"c": until, "d": until})}, 2 * hour,
			map[string]spell{"EngineStale c": {0, hour}, "EngineStale d": {0, hour}}},
		{"the gateway dies, not the engines", incident{engines: fleet(nil), down: []spell{{at, at + 20*minute}}}, hour,
			map[string]spell{"GatewayDown": {minute, 20 * minute}}},
		{"a fleet that never was", incident{engines: map[string][]spell{"a": {{forEver, forEver}}}}, hour,
			map[string]spell{"NoTraffic": {5*minute - at, hour}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// A state is stale after 2 s, scraped within 15 s, evaluated within 15 s, and so for 30 s before it counts. The steps of
			// the subqueries add a minute to what ends by them, and it is kept for two more, for a restart.
			const late, kept = 90 * time.Second, 2 * minute
			got := test.alarms(t, at+test.end)
			for name, want := range test.want {
				spells := got[name]
				if len(spells) != 1 {
					t.Errorf("%s fired at %v, want once", name, spells)
					continue
				}
				from, to := spells[0].from-at, spells[0].to-at
				if from < want.from-late || from > want.from+late {
					t.Errorf("%s fired from %v, want %v", name, from, want.from)
				}
				if to < want.to-late || to > want.to+late+kept || want.to == test.end && to < test.end {
					t.Errorf("%s fired until %v, want %v", name, to, want.to)
				}
			}
			for name, spells := range got {
				if _, wanted := test.want[name]; !wanted {
					t.Errorf("%s fired at %v", name, spells)
				}
			}
		})
	}
}
