package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/internal/needs"
)

func TestShellcheck(t *testing.T) {
	needs.FullCheck(t, needs.Verdict)
	args := append([]string{"--norc"}, glob(t, 2, "*.sh", "*/*.sh")...)
	check := exec.Command(needs.Command(t, "shellcheck"), args...)
	check.Dir = "."
	if got := run(t, check); got.code != 0 {
		t.Errorf("%+v", got)
	}
}

// startScript returns start_gateway_unicast.sh with arguments and settings (NAME=VALUE, the prefix left out) of its
// environment, in a directory of its own.
func startScript(t *testing.T, args []string, settings ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(here(t, "start_gateway_unicast.sh"), args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "STATE_GATEWAY=" + binary}
	for _, s := range settings {
		cmd.Env = append(cmd.Env, "VLLM_STATE_GATEWAY_"+s)
	}
	cmd.Dir = t.TempDir()
	return cmd
}

// The script shows what it starts, becomes a gateway that takes the guide's test, and ends as one.
func TestStartScript(t *testing.T) {
	cmd := startScript(t, []string{here(t, "config_examples/unicast.env"), "--udp-port=0"},
		"LOG_FILE=engine_states.jsonl", "HTTP_ADDRESS=127.0.0.1:0", "MESSAGE_FORMAT=json",
		"URL=http://127.0.0.1:8080", "INCLUDE_STALE=true", "FILL_CAPACITY=1000") // the last three are the routers', of a shared file
	var stdout strings.Builder
	cmd.Stdout = &stdout
	gateway := start(t, cmd)
	gateway.send(t, "test")
	awaitLines(t, filepath.Join(cmd.Dir, "engine_states.jsonl"), 1)
	if code := gateway.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	shown := strings.Join(strings.Fields(stdout.String()), " ")
	for _, want := range []string{
		"state-gateway devel ",
		"VLLM_STATE_GATEWAY_STALE_THRESHOLD = 2000 (environment)",         // the file's
		"VLLM_STATE_GATEWAY_LOG_FILE = engine_states.jsonl (environment)", // the environment's, which wins over the file's
		"VLLM_STATE_GATEWAY_UDP_PORT = 0 (flag)",                          // the flag's, which wins over both
		"net.core.rmem_max = ", "RECEIVE_BUFFER = 8 MiB;",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in\n%s", want, stdout.String())
		}
	}
}

// What cannot work ends before the gateway starts, with a line that says why.
func TestStartScriptRefuses(t *testing.T) {
	wrong := filepath.Join(t.TempDir(), "wrong.env")
	if err := os.WriteFile(wrong, []byte("# fine\nVLLM_STATE_GATEWAY_UDP_PORT=9999\nUDP_PORT 9999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		args     []string
		settings []string
		code     int
		says     string
	}{
		{"a bad value", nil, []string{"UDP_PORT=http"}, 78, `VLLM_STATE_GATEWAY_UDP_PORT (--udp-port): "http" is not allowed`},
		{"an unknown name", nil, []string{"UPD_PORT=9999"}, 78, "the nearest known name is VLLM_STATE_GATEWAY_UDP_PORT"},
		{"an unknown flag", []string{"--upd-port=9999"}, nil, 64, "unknown flag"},
		{"broadcast", nil, []string{"NETWORK_MODE=broadcast"}, 78, "this starts unicast"},
		{"no file", []string{"no.env"}, nil, 66, "no.env cannot be read"},
		{"no settings in the file", []string{wrong}, nil, 78, "UDP_PORT 9999"},
		{"no directory for the log", nil, []string{"LOG_FILE=no/such/engine_states.jsonl"}, 73, "into no/such;"},
	} {
		got := run(t, startScript(t, test.args, test.settings...))
		if got.code != test.code || !strings.Contains(got.stderr, test.says) || strings.Contains(got.stderr, "state gateway started") {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	cmd := startScript(t, nil)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(entry string) bool { return strings.HasPrefix(entry, "STATE_GATEWAY=") })
	if got := run(t, cmd); got.code != 69 || !strings.Contains(got.stderr, "go build") {
		t.Errorf("no program: %+v", got)
	}
}

// docker_run.sh types what the guide types, but for the settings, which it takes from their file.
func TestDockerRun(t *testing.T) {
	bin := t.TempDir() // of a docker that says what it was asked
	const fake = "#!/bin/sh\n[ \"$1\" = network ] && [ \"$2\" = inspect ] && exit 1\necho \"docker $*\"\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	data, env := filepath.Join(t.TempDir(), "elrar"), here(t, "config_examples/unicast.env")
	const ports = " -p 9999:9999/udp -p 8080:8080"
	for mode, network := range map[string]string{
		"host":   "--network host",
		"bridge": "--network bridge" + ports,
		"custom": "--network elrar-network" + ports,
	} {
		cmd := exec.Command(here(t, "config_examples/docker_run.sh"), mode)
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "DATA=" + data}
		want := "docker run -d --name elrar-state-gateway --restart unless-stopped " + network + " --env-file " + env + " -v " + data +
			":/data elrar/state-gateway:latest\n"
		if mode == "custom" {
			want = "docker network create elrar-network\n" + want
		}
		if got := run(t, cmd); got != (result{0, want, ""}) {
			t.Errorf("%s: %+v", mode, got)
		}
		if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", data, info, err)
		}
	}
	if got := run(t, exec.Command(here(t, "config_examples/docker_run.sh"))); got.code != 64 || !strings.Contains(got.stderr, "usage") {
		t.Errorf("%+v", got)
	}
}
