package openapi

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
	"testing"
	"time"
)

// root is the project's directory, seen from here.
const root = "../.."

// reader is a program that reads one engine with the generated client, in each of the three ways in which states are served,
// and prints all digits of its numbers.
const reader = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/elrar/state-gateway/tools/openapi/%s/generated"
)

func main() {
	client, err := generated.NewClientWithResponses(os.Args[1])
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	states, err := client.EngineStatesWithResponse(ctx, nil)
	if err != nil {
		panic(err)
	}
	for _, s := range *states.JSON200 {
		fmt.Println(s.LatencyPredMs, s.EngineCapacity, s.TimestampMs, s.PendingTokensTotal)
	}
	engines, err := client.EnginesWithResponse(ctx, nil)
	if err != nil {
		panic(err)
	}
	for _, s := range engines.JSON200.Engines {
		fmt.Println(s.LatencyPredMs, s.EngineCapacity, s.TimestampMs, s.PendingTokensTotal)
	}
	history, err := client.HistoryWithResponse(ctx, &generated.HistoryParams{EngineId: os.Args[2]})
	if err != nil {
		panic(err)
	}
	for _, s := range history.JSON200.States {
		fmt.Println(s.LatencyPredMs, s.EngineCapacity, s.TimestampMs, s.PendingTokensTotal)
	}
}
`

// run runs a program, and fails the test if that fails.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// startGateway starts a gateway on free ports and returns where it receives and answers.
func startGateway(t *testing.T) (udp, url string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "state-gateway")
	run(t, "go", "build", "-C", root, "-buildvcs=false", "-o", binary, "./cmd/state-gateway")
	gateway := exec.Command(binary, "--udp-port=0", "--bind-address=127.0.0.1", "--http-address=127.0.0.1:0", "--message-format=json",
		"--enable-log=false")
	gateway.Env = []string{}
	messages, err := gateway.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gateway.Process.Kill()
		gateway.Wait()
	})
	var start struct{ Msg, UDP, HTTP string }
	for lines := bufio.NewScanner(messages); start.Msg != "state gateway started"; {
		if !lines.Scan() {
			t.Fatal("the gateway did not start")
		}
		if err := json.Unmarshal(lines.Bytes(), &start); err != nil {
			t.Fatal(err)
		}
	}
	go io.Copy(io.Discard, messages)
	return start.UDP, "http://" + start.HTTP
}

// A client that oapi-codegen makes of the description keeps every digit: numbers are float64 and integers int64 in it.
func TestGeneratedClientKeepsDigits(t *testing.T) {
	dir, err := os.MkdirTemp(".", "made") // within this module, whose dependencies it has
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "generated"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "generated",
		"-o", filepath.Join(dir, "generated", "client.go"), root+"/internal/api/openapi.json")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), fmt.Appendf(nil, reader, filepath.Base(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "reader")
	run(t, "go", "build", "-o", program, "./"+dir)

	udp, url := startGateway(t)
	const (
		engine   = "http://172.17.0.3:8000"
		latency  = "21.253122228102537"
		capacity = "59768.2749641796"
		sent     = "9007199254740991" // 2^53 - 1
		pending  = "9007199254740990"
	)
	engines, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer engines.Close()
	fmt.Fprintf(engines, `{"engine_id": "%s", "timestamp_ms": %s, "latency_pred_ms": %s, "scheduling_mode": "balanced", `+
		`"pending_tokens_total": %s, "kv_cache_free_blocks": -1, "kv_cache_total_blocks": -1, "engine_capacity": %s}`,
		engine, sent, latency, pending, capacity)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(url + "/v1/engine-states")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if strings.Contains(string(body), engine) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the state does not arrive")
		}
	}
	line := strings.Join([]string{latency, capacity, sent, pending}, " ") + "\n"
	if got := run(t, program, url, engine); got != strings.Repeat(line, 3) {
		t.Errorf("read\n%swant three times\n%s", got, line)
	}
}
