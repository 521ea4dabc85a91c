package deploy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// root is the project's directory, seen from here.
const root = "../.."

// binary is the gateway, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "state-gateway")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "state-gateway")
		build := exec.Command("go", "build", "-C", root, "-buildvcs=false", "-o", binary, "./cmd/state-gateway")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// exposition returns what /metrics of a running gateway answers that has seen something of everything: engines that are
// initializing and stale, invalid states, and lines in its log.
var exposition = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "state-gateway")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	gateway := exec.Command(binary, "--udp-port=0", "--bind-address=127.0.0.1", "--http-address=127.0.0.1:0",
		"--stale-threshold=50", "--message-format=json", "--log-file="+filepath.Join(dir, "engine_states.jsonl"))
	gateway.Env = []string{}
	messages, err := gateway.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := gateway.Start(); err != nil {
		return "", err
	}
	defer gateway.Wait()
	defer gateway.Process.Kill()
	var start struct{ Msg, UDP, HTTP string }
	for lines := bufio.NewScanner(messages); start.Msg != "state gateway started"; {
		if !lines.Scan() {
			return "", fmt.Errorf("the gateway did not start")
		}
		if err := json.Unmarshal(lines.Bytes(), &start); err != nil {
			return "", err
		}
	}
	go io.Copy(io.Discard, messages)

	engines, err := net.Dial("udp", start.UDP)
	if err != nil {
		return "", err
	}
	defer engines.Close()
	const state = `{"engine_id": "%s", "timestamp_ms": %d, "latency_pred_ms": %d, "scheduling_mode": "latency_optimized", ` +
		`"pending_tokens_total": 0, "kv_cache_free_blocks": %[4]d, "kv_cache_total_blocks": %[4]d, "engine_capacity": %[3]d}`
	now := time.Now().UnixMilli()
	for _, datagram := range []string{
		fmt.Sprintf(state, "http://10.0.0.1:8000", now, 0, -1),  // an init state
		fmt.Sprintf(state, "http://10.0.0.2:8000", now, 21, 10), // a real one, and then silence
		"no state",
	} {
		if _, err := engines.Write([]byte(datagram)); err != nil {
			return "", err
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := get("http://" + start.HTTP + "/metrics")
		if err != nil {
			return "", err
		}
		seen := 0
		for _, sample := range []string{
			"elrar_gateway_log_written_total 2\n",
			`elrar_gateway_datagrams_rejected_total{reason="json"} 1` + "\n",
			`elrar_gateway_engines{status="initializing"} 1` + "\n",
			`elrar_engine_up{engine_id="http://10.0.0.2:8000"} 0` + "\n",
			`elrar_gateway_http_requests_total{`,
		} {
			if strings.Contains(text, sample) {
				seen++
			}
		}
		if seen == 5 {
			return text, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("not all of it was seen:\n%s", text)
		}
	}
})

func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return string(body), err
}

// sample is one line of the exposition as Prometheus would store it: a name and labels, instance and job among them.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// scraped returns the exposition's samples; the test fails if there are none.
func scraped(t *testing.T) []sample {
	t.Helper()
	text, err := exposition()
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	for _, family := range families {
		extracted, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range extracted {
			labels := map[string]string{"job": "elrar-state-gateway", "instance": "gateway:8080"}
			for name, value := range s.Metric {
				labels[string(name)] = string(value)
			}
			delete(labels, "__name__")
			samples = append(samples, sample{string(s.Metric["__name__"]), labels, float64(s.Value)})
		}
	}
	if len(samples) < 50 {
		t.Fatalf("only %d samples:\n%s", len(samples), text)
	}
	return samples
}
