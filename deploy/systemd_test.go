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

// verify gives units, by their names, to systemd's own parser and returns what it complains of.
func verify(t *testing.T, units map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for name, text := range units {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	got := run(t, exec.Command(needs.Command(t, "systemd-analyze"), args...))
	if got.code != 0 && got.stderr == "" {
		t.Errorf("%+v", got)
	}
	return got.stderr
}

// systemd knows every line of the units, with the program where a test has it.
func TestUnits(t *testing.T) {
	needs.FullCheck(t, needs.Verdict)
	service := strings.ReplaceAll(read(t, "systemd/elrar-state-gateway.service"), "/usr/local/bin/state-gateway", binary)
	socket := read(t, "systemd/elrar-state-gateway.socket")
	units := func(service, socket string) map[string]string {
		return map[string]string{"elrar-state-gateway.service": service, "elrar-state-gateway.socket": socket}
	}
	if said := verify(t, units(service, socket)); said != "" {
		t.Error(said)
	}
	for _, wrong := range []map[string]string{
		units(strings.Replace(service, "PrivateTmp=yes", "PrivateTmp=perhaps", 1), socket),
		units(strings.Replace(service, "PrivateTmp=", "PrivateTemp=", 1), socket),
		units(strings.Replace(service, binary, "/no/such/program", 1), socket),
		units(service, strings.Replace(socket, "ReceiveBuffer=8M", "ReceiveBuffer=8MiB", 1)),
	} {
		if said := verify(t, wrong); said == "" {
			t.Errorf("verified:\n%v", wrong)
		}
	}
}

// systemd's own estimate of what the service may do that it need not: 0 is nothing, 10 is everything.
func TestExposure(t *testing.T) {
	needs.FullCheck(t, needs.Verdict)
	analyze := needs.Command(t, "systemd-analyze")
	got := run(t, exec.Command(analyze, "security", "--offline=yes", "--no-pager", "--threshold=15", here(t, "systemd/elrar-state-gateway.service")))
	if got.code != 0 || !strings.Contains(got.stdout, "Overall exposure level") {
		t.Errorf("more than 1.5: %+v", got)
	}
}

func TestSysusers(t *testing.T) {
	needs.FullCheck(t, needs.Verdict)
	sysusers := needs.Command(t, "systemd-sysusers")
	needs.Root(t) // to own what it makes
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := run(t, exec.Command(sysusers, "--root="+root, here(t, "systemd/elrar-state-gateway.sysusers.conf")))
	made, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if got.code != 0 || err != nil || !strings.Contains(string(made), "elrar:x:") {
		t.Errorf("%+v, %v: %s", got, err, made)
	}
}

// The units, the settings and logrotate mean the same user, directory, port and files.
func TestUnitsAgree(t *testing.T) {
	service, socket := directives(t, "systemd/elrar-state-gateway.service"), directives(t, "systemd/elrar-state-gateway.socket")
	settings := environment(t, "systemd/state-gateway.env")
	if user := service["User"][0]; user != "elrar" || service["Group"][0] != user {
		t.Errorf("user %v, group %v", service["User"], service["Group"])
	}
	logs := "/var/log/" + service["LogsDirectory"][0]
	if service["WorkingDirectory"][0] != logs || !slices.Contains(settings, "VLLM_STATE_GATEWAY_LOG_FILE="+logs+"/engine_states.jsonl") ||
		!strings.Contains(read(t, "logrotate/systemd.conf"), logs+"/engine_states.jsonl {") {
		t.Errorf("logs in %s", logs)
	}
	for _, listen := range socket["ListenDatagram"] {
		if !slices.Contains(settings, "VLLM_STATE_GATEWAY_UDP_PORT="+listen) {
			t.Errorf("the socket's port is %s, the settings are %v", listen, settings)
		}
	}
	if len(socket["ListenDatagram"]) < 2 || socket["ReusePort"][0] != "yes" {
		t.Errorf("sockets: %v", socket)
	}
	// Exit codes that no second try mends: a wrong command line, a bad value.
	if service["RestartPreventExitStatus"][0] != "64 78" || service["Type"][0] != "notify" {
		t.Errorf("%v", service)
	}
}

// directives returns the values of each directive of a unit file.
func directives(t *testing.T, file string) map[string][]string {
	t.Helper()
	values := map[string][]string{}
	for line := range strings.Lines(read(t, file)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && line[0] != '#' {
			values[name] = append(values[name], value)
		}
	}
	return values
}
