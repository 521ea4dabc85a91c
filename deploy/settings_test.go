package deploy

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// environment returns the variables of an environment file, which must have the form that Docker, systemd and
// start_gateway_unicast.sh read alike: NAME=VALUE without quotes, and comments on lines of their own.
func environment(t *testing.T, file string) (environ []string) {
	t.Helper()
	form := regexp.MustCompile(`^VLLM_STATE_GATEWAY_[A-Z_]+=[^\s"'#\\$]+$`)
	for line := range strings.Lines(read(t, file)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || line[0] == '#':
		case form.MatchString(line):
			environ = append(environ, line)
		default:
			t.Errorf("%s: %s", file, line)
		}
	}
	if len(environ) == 0 {
		t.Errorf("%s is empty", file)
	}
	return environ
}

// elsewhere is what check-config says of an example that is for another place: its address is another host's, or is no
// use, or broadcasts do not get there, or its log is in a container's layer, when the tests run in a container.
var elsewhere = regexp.MustCompile(`^(state-gateway: warning: (VLLM_STATE_GATEWAY_(BIND_ADDRESS=[0-9.]+ is no address of this (host|container)` +
	`|BIND_ADDRESS=[0-9.]+: only what runs in this container|NETWORK_MODE=broadcast behind a bridge network)` +
	`|the state log [^ \n]+ is in the container's own layer)[^\n]*\n)+$`)

// The gateway takes every environment file for its settings, without another word and to the letter.
func TestEnvironmentFiles(t *testing.T) {
	for _, file := range glob(t, 5, "config_examples/*.env", "systemd/*.env") {
		environ := environment(t, file)
		check := exec.Command(binary, "check-config")
		check.Env = environ
		got := run(t, check)
		if got.code != 0 || got.stderr != "" && !elsewhere.MatchString(got.stderr) {
			t.Errorf("%s: %+v", file, got)
		}
		for _, entry := range environ {
			name, value, _ := strings.Cut(entry, "=")
			if shown := regexp.MustCompile(name + " = " + regexp.QuoteMeta(value) + " +\\(environment\\)"); !shown.MatchString(got.stdout) {
				t.Errorf("%s: %s is not in force:\n%s", file, entry, got.stdout)
			}
		}
	}
}
