package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// stats is what the rows look at of /stats.
type stats struct {
	Received      uint64            `json:"total_received"`
	Broadcast     uint64            `json:"broadcast_received"`
	Invalid       uint64            `json:"invalid_states"`
	Applied       uint64            `json:"applied"`
	Rejected      map[string]uint64 `json:"rejected"`
	KernelDropped uint64            `json:"kernel_dropped"`
	Logged        uint64            `json:"logged"`
	LogDropped    uint64            `json:"log_dropped"`
	LogQueued     uint64            `json:"log_queued"`
	LogReopens    uint64            `json:"log_reopens"`
	Engines       int               `json:"total_engines"`
}

// engineState is what they look at of an engine.
type engineState struct {
	EngineID    string `json:"engine_id"`
	TimestampMs int64  `json:"timestamp_ms"`
	Fresh       bool   `json:"fresh"`
	SourceAddr  string `json:"source_addr"`
}

var client = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// url returns where the gateway answers: on the host network at the host's port, else at its container's address.
func (r *row) url() string {
	address := r.address(r.container)
	if address == "" {
		return "http://127.0.0.1:" + r.http
	}
	return "http://" + address + ":8080"
}

// address returns the address of a container, or "" if it is on the host network.
func (r *row) address(container string) string {
	r.Helper()
	return r.docker("container", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)
}

// get decodes a JSON answer into v, and reports whether there was one.
func (r *row) get(path string, v any) bool {
	r.Helper()
	response, err := client.Get(r.url() + path)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusOK && json.Unmarshal(body, v) == nil
}

// awaitStats waits until a condition on /stats holds.
func (r *row) awaitStats(what string, holds func(stats) bool) stats {
	r.Helper()
	var s stats
	r.await(what, func() bool {
		s = stats{}
		return r.get("/stats", &s) && holds(s)
	})
	return s
}

// awaitStart waits until the gateway answers.
func (r *row) awaitStart() stats {
	r.Helper()
	return r.awaitStats("the gateway answers", func(stats) bool { return true })
}

// awaitReady waits until the gateway has had the time to hear every living engine.
func (r *row) awaitReady() {
	r.Helper()
	r.await("the gateway is ready", func() bool {
		response, err := client.Get(r.url() + "/readyz")
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})
}

// engines returns the engines by their ids.
func (r *row) engines() map[string]engineState {
	r.Helper()
	var answer struct{ Engines []engineState }
	if !r.get("/v1/engines", &answer) {
		r.Fatalf("no answer at %s", r.url())
	}
	engines := map[string]engineState{}
	for _, e := range answer.Engines {
		engines[e.EngineID] = e
	}
	return engines
}

// metric returns the value of a series of /metrics that has no labels.
func (r *row) metric(name string) float64 {
	r.Helper()
	response, err := client.Get(r.url() + "/metrics")
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), name+" "); found {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				r.Fatal(err)
			}
			return value
		}
	}
	r.Fatalf("no %s", name)
	return 0
}

// message is a message of the gateway's, as docker logs shows it.
type message map[string]any

// count returns a number of the message's, such as "applied".
func (m message) count(name string) uint64 {
	number, _ := m[name].(float64)
	return uint64(number)
}

// messages returns what the gateway said, "" if there is no container.
func (r *row) messages() string {
	return bash(r.Context(), "docker logs "+r.container+" 2>&1 || true", "").output
}

// said returns the gateway's messages that contain a text.
func (r *row) said(text string) (found []message) {
	for line := range strings.Lines(r.messages()) {
		var m message
		if strings.Contains(line, text) && json.Unmarshal([]byte(line), &m) == nil {
			found = append(found, m)
		}
	}
	return found
}

// warned returns the gateway's warnings that contain a text, a line each.
func (r *row) warned(text string) (lines string) {
	for line := range strings.Lines(r.messages()) {
		if strings.Contains(line, `"level":"WARN"`) && strings.Contains(line, text) {
			lines += line
		}
	}
	return lines
}

// finalFigures returns the message in which a gateway that has stopped says what became of every datagram. Nothing that
// it accepted may be missing from the log.
func (r *row) finalFigures() message {
	r.Helper()
	found := r.said("final figures")
	if len(found) != 1 {
		r.Fatalf("no final figures:\n%s", r.messages())
	}
	m := found[0]
	if m.count("applied") != m.count("logged") || m.count("log_queued") != 0 || m.count("log_dropped") != 0 {
		r.Errorf("accepted, but not logged: %v", m)
	}
	return m
}

// figure returns a figure of the report of a load, such as "sent".
func (r *row) figure(report, name string) uint64 {
	r.Helper()
	for line := range strings.Lines(report) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == name {
			if n, err := strconv.ParseUint(strings.TrimSuffix(fields[1], "/s"), 10, 64); err == nil {
				return n
			}
		}
	}
	r.Fatalf("no %s in\n%s", name, report)
	return 0
}

// state returns a datagram of an engine, compact as the guide's own.
func state(engineID string) string {
	return fmt.Sprintf(`{"engine_id":"%s","timestamp_ms":%d,"latency_pred_ms":1.5,"scheduling_mode":"latency_optimized",`+
		`"pending_tokens_total":1,"kv_cache_free_blocks":1,"kv_cache_total_blocks":2,"engine_capacity":3.0}`, engineID, time.Now().UnixMilli())
}
