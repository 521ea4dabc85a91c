package main

import (
	"strings"
	"testing"

	"github.com/elrar/state-gateway/internal/config"
)

// line returns the line of check-config about one setting, with its white space evened.
func line(out, name string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "VLLM_STATE_GATEWAY_"+name+" ") {
			return strings.Join(strings.Fields(line)[2:], " ")
		}
	}
	return "no line"
}

func TestPrecedence(t *testing.T) {
	for _, test := range []struct {
		environ, args []string
		want          string // of UDP_PORT
	}{
		{nil, nil, "9999 (default)"},
		{env("UDP_PORT=1"), nil, "1 (environment)"},
		{nil, []string{"--udp-port=2"}, "2 (flag)"},
		{env("UDP_PORT=1"), []string{"--udp-port=2"}, "2 (flag)"},
		{env("UDP_PORT=1"), []string{"--udp-port", " 9999 "}, "9999 (flag)"},
		{env("UDP_PORT="), nil, "9999 (default)"},
		{env("UDP_PORT= \t"), nil, "9999 (default)"},
		{env("UDP_PORT="), []string{"--udp-port=2"}, "2 (flag)"},
	} {
		got := runBinary(t, append(env("ENABLE_LOG=no"), test.environ...), append([]string{"check-config"}, test.args...)...)
		if port := line(got.stdout, "UDP_PORT"); got.code != 0 || got.stderr != "" || port != test.want {
			t.Errorf("%q %q: %q, want %q; %+v", test.environ, test.args, port, test.want, got)
		}
	}
	// Only a flag can give an empty value, and that is a bad one.
	if got := runBinary(t, env("UDP_PORT=1"), "check-config", "--udp-port="); got.code != 78 {
		t.Errorf("an empty flag: %+v", got)
	}
}

func TestCheckConfig(t *testing.T) {
	got := runBinary(t, env("RECEIVE_BUFFER=2048 kib", "ENABLE_LOG=No", "LOG_FILE=--x"), "check-config", "--clock=Sender")
	for name, want := range map[string]string{
		"RECEIVE_BUFFER": "2 MiB (environment)",
		"ENABLE_LOG":     "false (environment)",
		"LOG_FILE":       "--x (environment)",
		"CLOCK":          "sender (flag)",
		"BIND_ADDRESS":   "0.0.0.0 (default)",
	} {
		if line := line(got.stdout, name); line != want {
			t.Errorf("%s: %q, want %q", name, line, want)
		}
	}
	if got.code != 0 || strings.Count(got.stdout, "\n") != len(config.Settings{}.Values()) {
		t.Errorf("%+v", got)
	}
}

func TestCheckConfigUnknownNames(t *testing.T) {
	got := runBinary(t, env("ENABLE_LOG=no", "STALE_TRESHOLD=1", "UPD_PORT=2", "HTTP="), "check-config")
	const want = `state-gateway: unknown setting "VLLM_STATE_GATEWAY_STALE_TRESHOLD"; the nearest known name is VLLM_STATE_GATEWAY_STALE_THRESHOLD
state-gateway: unknown setting "VLLM_STATE_GATEWAY_UPD_PORT"; the nearest known name is VLLM_STATE_GATEWAY_UDP_PORT
`
	if got.code != 78 || got.stderr != want {
		t.Errorf("%+v", got)
	}
}

// TestCheckConfigClientNames: what the clients of a gateway read is known, and proposed for what is spelt like it.
func TestCheckConfigClientNames(t *testing.T) {
	if got := runBinary(t, env("ENABLE_LOG=no", "URL=http://127.0.0.1:8080", "INCLUDE_STALE=true", "FILL_CAPACITY=1000"), "check-config"); got.code != 0 || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	got := runBinary(t, env("ENABLE_LOG=no", "FILL_CAPACTY=1000"), "check-config")
	const want = "state-gateway: unknown setting \"VLLM_STATE_GATEWAY_FILL_CAPACTY\"; the nearest known name is VLLM_STATE_GATEWAY_FILL_CAPACITY\n"
	if got.code != 78 || got.stderr != want {
		t.Errorf("%+v", got)
	}
}

func TestCheckConfigWarns(t *testing.T) {
	got := runBinary(t, env("NETWORK_MODE=broadcast", "WORKERS=4"), "check-config")
	if got.code != 0 || line(got.stdout, "WORKERS") != "1 (environment)" ||
		!strings.HasPrefix(got.stderr, "state-gateway: warning: VLLM_STATE_GATEWAY_WORKERS") {
		t.Errorf("%+v", got)
	}
}
