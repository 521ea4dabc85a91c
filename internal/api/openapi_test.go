package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/elrar/state-gateway/state"
)

// described is /openapi.json as a validator reads it.
type described struct {
	*openapi3.T
	used map[string]bool // path, status and media type of what was checked
}

// readDescription loads the description that a running gateway serves. It is made stricter than it is for others: members
// that it does not describe are not allowed.
func readDescription(t *testing.T) *described {
	t.Helper()
	var document any
	if err := json.Unmarshal(get(t, newTestAPI(newFakeTable()), "/openapi.json").Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(closed(document))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &described{doc, map[string]bool{}}
}

// closed forbids further members to each object schema that lists its members.
func closed(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for _, v := range value {
			closed(v)
		}
		if _, lists := value["properties"]; lists && value["type"] == "object" {
			value["additionalProperties"] = false
		}
	case []any:
		for _, v := range value {
			closed(v)
		}
	}
	return value
}

// check validates an answer by what is said of its path, status and media type.
func (d *described) check(t *testing.T, path string, status int, header http.Header, body []byte) {
	t.Helper()
	operation := d.Paths.Value(path).Get
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	name := strconv.Itoa(status)
	response := operation.Responses.Value(name)
	if response == nil && status == http.StatusInternalServerError {
		name, response = "default", operation.Responses.Default()
	}
	if response == nil {
		t.Errorf("%s: %d is not described", path, status)
		return
	}
	media := response.Value.Content[kind]
	if media == nil {
		t.Errorf("%s: %d %s is not described", path, status, kind)
		return
	}
	for expected := range response.Value.Headers {
		if header.Get(expected) == "" {
			t.Errorf("%s: %d has no %s", path, status, expected)
		}
	}
	d.used[path+" "+name] = true
	if strings.HasSuffix(kind, "json") {
		d.matches(t, path+" "+name, media.Schema, body)
	}
}

func (d *described) matches(t *testing.T, what string, schema *openapi3.SchemaRef, text []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v: %s", what, err, text)
	}
	if err := schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
		t.Errorf("%s: %v\n%s", what, err, text)
	}
}

// isPageFile tells the files of the page at /, which are no endpoints for others.
func isPageFile(path string) bool { return strings.HasPrefix(path, "/page/") }

// Every path and parameter is described, and nothing else is.
func TestDescriptionIsWhole(t *testing.T) {
	d := readDescription(t)
	a := newTestAPI(newFakeTable())
	if got, want := slices.Sorted(maps.Keys(d.Paths.Map())), slices.DeleteFunc(slices.Sorted(maps.Keys(a.routes)), isPageFile); !slices.Equal(got, want) {
		t.Errorf("paths %v, want %v", got, want)
	}
	for _, e := range a.endpoints() {
		var params []string
		for _, p := range d.Paths.Value(e.path).Get.Parameters {
			if p.Value.In != "query" {
				t.Errorf("%s: %+v", e.path, p.Value)
			}
			params = append(params, p.Value.Name)
		}
		if want := slices.Clone(e.params); !slices.Equal(slices.Sorted(slices.Values(params)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: parameters %v, want %v", e.path, params, want)
		}
	}
}

// A value of a parameter is allowed by the description exactly if it is by the gateway.
func TestDescribedParameters(t *testing.T) {
	d := readDescription(t)
	a := newTestAPI(newFakeTable(complete("a")))
	values := []string{"", "include", "exclude", "Include", "states", "engines", "status", "fresh", "idle", "initializing", "stale", "all",
		"a", "0", "1", "-1", "1.5", "1023", "1024", "100000", "16777216", "16777217"}
	for _, e := range a.endpoints() {
		for _, p := range d.Paths.Value(e.path).Get.Parameters {
			allowed := 0
			for _, value := range values {
				if p.Value.Name == "engine_id" && (value != "a" || e.path == "/v1/engines") {
					continue // an engine that is not held is a 404 or an empty list
				}
				target := e.path + "?" + query(p.Value.Name, value)
				if p.Value.Name != "engine_id" && e.path == "/v1/history" {
					target += "&engine_id=a"
				}
				var typed any = value
				if n, err := strconv.ParseFloat(value, 64); err == nil && p.Value.Schema.Value.Type.Is("integer") {
					typed = n
				}
				err := p.Value.Schema.Value.VisitJSON(typed, openapi3.EnableJSONSchema2020())
				code := do(t, a, http.MethodHead, target).Code
				if (err == nil) != (code == 200) {
					t.Errorf("%s: %d, but by the description: %v", target, code, err)
				}
				if code == 200 {
					allowed++
				}
			}
			if allowed == 0 && e.path != "/v1/engines" {
				t.Errorf("%s: no value of %s was tried", e.path, p.Value.Name)
			}
		}
	}
}

// The answers are what the description says, of each status that it lists.
func TestDescribedAnswers(t *testing.T) {
	d := readDescription(t)
	known := complete("http://a:8000")
	unknown := state.Held{State: engineState("http://b:8000", 2), Received: at(time.Second), LoadTimestampMs: state.NoLoad, Conflicted: state.NoConflict}
	table := newFakeTable(known, unknown)
	table.intervals[known.EngineID] = 200 * time.Millisecond
	well := &fakeGateway{now: at(10 * time.Second), statistics: sampleStatistics()}
	ill := &fakeGateway{ready: errors.New("too early"), live: errors.New("deaf")}
	ailing := &fakeGateway{degraded: "disk full"}
	ask := func(gw Gateway, method, target string) {
		t.Helper()
		w := do(t, New(table, gw, testInfo(), quietLog()), method, target)
		path, _, _ := strings.Cut(target, "?")
		d.check(t, path, w.Code, w.Header(), w.Body.Bytes())
	}
	for path := range d.Paths.Map() {
		ask(well, http.MethodPost, path)
		ask(well, http.MethodGet, path+"?no=such")
		if path != "/v1/watch" {
			ask(well, http.MethodGet, path)
			ask(&fakeGateway{}, http.MethodGet, path)
		}
	}
	for _, target := range []string{"/v1/engine-states?stale=exclude", "/v1/engines?status=stale", "/v1/engines?engine_id=none",
		"/v1/history?engine_id=http://a:8000", "/v1/history?engine_id=none", "/v1/watch?fields=none"} {
		ask(well, http.MethodGet, target)
	}
	for _, target := range []string{"/livez", "/readyz"} {
		ask(ill, http.MethodGet, target)
		ask(ailing, http.MethodGet, target)
	}
	full := New(table, well, testInfo(), quietLog()).(*api)
	occupy(t, full.states)
	occupy(t, full.scrapes)
	full.hub.stop()
	for _, path := range []string{"/v1/engine-states", "/v1/engines", "/v1/history", "/metrics", "/stats", "/v1/stats", "/v1/watch"} {
		w := get(t, full, path+map[string]string{"/v1/history": "?engine_id=http://a:8000"}[path])
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, w.Code)
		}
		d.check(t, path, w.Code, w.Header(), w.Body.Bytes())
	}
	broken := &panicking{}
	w := get(t, New(broken, broken, testInfo(), quietLog()), "/v1/engines")
	d.check(t, "/v1/engines", w.Code, w.Header(), w.Body.Bytes())

	for path, item := range d.Paths.Map() {
		for status := range item.Get.Responses.Map() {
			if !d.used[path+" "+status] && status != "default" && path+" "+status != "/v1/watch 200" { // see TestDescribedEvents
				t.Errorf("%s: no answer with %s was checked", path, status)
			}
		}
	}
}

// The events of a stream are what the description says.
func TestDescribedEvents(t *testing.T) {
	d := readDescription(t)
	media := d.Paths.Value("/v1/watch").Get.Responses.Value("200").Value.Content["text/event-stream"]
	schemas := map[string]*openapi3.SchemaRef{}
	for event, ref := range media.Extensions["x-events"].(map[string]any) {
		name := strings.TrimPrefix(ref.(map[string]any)["$ref"].(string), "#/components/schemas/")
		if schemas[event] = d.Components.Schemas[name]; schemas[event] == nil {
			t.Fatalf("%s: no schema %s", event, name)
		}
	}
	seen := map[string]int{}
	inWorld(t, func(t *testing.T, w *world) {
		queries := []string{"", "?fields=engines", "?stale=include", "?stale=include&fields=engines", "?fields=engines&max_event_bytes=1024"}
		var streams []*stream
		for _, query := range queries { // of an empty table
			streams = append(streams, w.watch(query))
		}
		settle(tickInterval)
		w.beat("http://b:8000", 1)
		w.apply("http://a:8000", 1)
		settle(tickInterval)
		for _, query := range queries { // of one that is not
			streams = append(streams, w.watch(query))
		}
		settle(5 * time.Second)
		w.apply("http://a:8000", 2)
		settle(tickInterval)
		w.table.Sweep(w.gateway.Now(), time.Second)
		settle(tickInterval)
		w.shutdown()
		for i, s := range streams {
			for _, e := range s.drain() {
				seen[fmt.Sprint(e.name, " ", i%len(queries))]++
				schema := schemas[e.name]
				if schema == nil {
					t.Fatalf("the event %s is not described", e.name)
				}
				d.matches(t, e.name, schema, []byte(e.data))
			}
			if s.over() != io.EOF {
				t.Error(s.over())
			}
			s.conn.Close()
		}
		if len(seen) != len(schemas)*len(queries) {
			t.Errorf("not every described event was seen: %v", seen)
		}
	})
}
