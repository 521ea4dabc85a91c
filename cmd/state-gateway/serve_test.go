package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
)

// TestServeWarnings takes an address that cannot be had, so that serve says its warnings and ends.
func TestServeWarnings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	environ := env("URL=http://gateway", "URLS=http://gateway", "UPD_PORT=1", "WORKERS=4", "NETWORK_MODE=broadcast", "UDP_PORT=0",
		"ENABLE_LOG=no", "HTTP_ADDRESS="+taken.Addr().String())

	got := runBinary(t, environ)
	if got.code == 0 {
		t.Fatalf("it served: %+v", got)
	}
	for _, want := range []map[string]string{
		{"level": "WARN", "msg": "unknown setting", "name": "VLLM_STATE_GATEWAY_UPD_PORT", "nearest": "VLLM_STATE_GATEWAY_UDP_PORT"},
		{"level": "WARN", "msg": "unknown setting", "name": "VLLM_STATE_GATEWAY_URLS", "nearest": "VLLM_STATE_GATEWAY_URL"},
		{"level": "WARN", "msg": "VLLM_STATE_GATEWAY_WORKERS (--workers): 4 has no effect in broadcast mode, which always has one socket"},
	} {
		if n := messages(got.stderr, want); n != 1 {
			t.Errorf("%d messages like %v in:\n%s", n, want, got.stderr)
		}
	}

	if n := messages(got.stderr, map[string]string{"msg": "unknown setting", "name": "VLLM_STATE_GATEWAY_URL"}); n != 0 {
		t.Errorf("a client's variable is unknown:\n%s", got.stderr)
	}

	if got := runBinary(t, environ, "--message-format=text"); !strings.Contains(got.stderr, `level=WARN msg="unknown setting"`) {
		t.Errorf("no text: %s", got.stderr)
	}
	if got := runBinary(t, environ, "--message-level=error"); strings.Contains(got.stderr, "unknown setting") {
		t.Errorf("warnings in spite of the level: %s", got.stderr)
	}
}

// messages counts the JSON lines of log that have all of want.
func messages(log string, want map[string]string) int {
	n := 0
	for line := range strings.Lines(log) {
		var message map[string]any
		if json.Unmarshal([]byte(line), &message) != nil {
			continue // main's last words are plain
		}
		all := true
		for key, value := range want {
			all = all && message[key] == value
		}
		if all {
			n++
		}
	}
	return n
}
