package acceptance

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
)

// TestGuide runs the guide. It needs a Docker Engine, root and some minutes, and so only runs with STATE_DOCKER set, as
// .ci/run sets it where there is an engine. STATE_DOCKER_BUILD_ARGS are build arguments for the image, NAME=VALUE.
func TestGuide(t *testing.T) {
	if os.Getenv("STATE_DOCKER") == "" {
		t.Skip("builds images and runs containers for some minutes; STATE_DOCKER=1 runs it")
	}
	needs.Root(t)
	for _, program := range []string{"docker", "bash", "nc", "curl", "ss", "ip", "script", "unshare", "logrotate", "iptables", "ufw", "conntrack"} {
		needs.Command(t, program)
	}
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		needs.Skip(t, fmt.Sprintf("no Docker Engine answers: %s", out))
	}

	a := &acceptance{site: newSite(t), commands: map[string]string{}, ran: map[string]bool{}, page: &transcript{shown: map[string]bool{}}}
	t.Cleanup(a.removeEverything)
	for _, b := range readDocument(t, guideFile).blocks {
		a.commands[b.name] = b.text
	}
	for _, part := range []struct {
		title string
		run   func(*row)
	}{
		{"Steps 1 to 3: Docker, the image, the directory", (*row).image},
		{"The rule: a bind address that cannot work", (*row).bindAddress},
		{"Host network, step 5, bad input", (*row).hostNetwork},
		{"Bridge network", (*row).bridgeNetwork},
		{"Custom network", (*row).customNetwork},
		{"Trouble-shooting from inside", (*row).inside},
		{"Ports", (*row).ports},
		{"Firewall", (*row).firewall},
		{"Limits", (*row).limits},
		{"Log rotation and backup, under load", (*row).files},
		{"Update, under load", (*row).update},
		{"Hardened, with rotation", (*row).hardened},
		{"Not as root", (*row).notRoot},
		{"Without -v", (*row).withoutVolume},
		{"Broadcast mode", (*row).broadcast},
		{"Engines that keep their sockets", (*row).keptSockets},
	} {
		passed := t.Run(part.title, func(t *testing.T) {
			section, begin := a.page.section(part.title), time.Now()
			t.Cleanup(func() {
				section.took = time.Since(begin)
				t.Log(section) // with -v the transcript, and without when the row fails
				a.removeContainers()
			})
			part.run(&row{acceptance: a, TB: t, section: section})
		})
		if !passed && len(a.page.sections) == 1 {
			t.FailNow() // there is no image
		}
	}
	for name := range a.commands {
		if _, left := notRun[name]; left == a.ran[name] {
			t.Errorf("block %s: run %v, in the list of those that are not %v", name, a.ran[name], left)
		}
	}
	t.Log(a.about(t) + a.page.table())
}

// removeContainers removes what a row leaves running, and its log.
func (a *acceptance) removeContainers() {
	for _, name := range append([]string{a.container, a.second}, a.senders()...) {
		exec.Command("docker", "rm", "-f", name).Run()
	}
	os.RemoveAll(a.directory)
	os.RemoveAll(a.backup)
}

// removeEverything removes all that a run makes; by name, so that nothing else is touched.
func (a *acceptance) removeEverything() {
	a.removeContainers()
	exec.Command("docker", "network", "rm", a.network).Run()
	for _, image := range append([]string{a.image, a.minimal}, a.stages...) {
		exec.Command("docker", "image", "rm", image).Run()
	}
}

// senders are the containers of engines that run on.
func (a *acceptance) senders() []string {
	return []string{a.container + "-engine-host", a.container + "-engine-bridge", a.container + "-engine-custom"}
}

// about says what was run, when and where.
func (a *acceptance) about(t *testing.T) string {
	revision := strings.TrimSpace(bash(t.Context(), "git describe --always --dirty 2>/dev/null || echo unknown", "").output)
	engine := strings.TrimSpace(bash(t.Context(), "docker version -f '{{.Server.Version}}'", "").output)
	about := strings.TrimSpace(bash(t.Context(),
		"docker info -f '{{.OperatingSystem}}, Linux {{.KernelVersion}}, {{.Architecture}}, {{.NCPU}} processors; "+
			"storage driver {{.Driver}}, control groups of version {{.CgroupVersion}}'", "").output)
	w := &strings.Builder{}
	fmt.Fprintf(w, "\nThe commands of docs/deployment.md on a Docker Engine, row by row, with what they printed and what was seen.\n\n")
	fmt.Fprintf(w, "%s, revision %s. Docker Engine %s; %s. Go %s. Receive buffers: net.core.rmem_max = %s.\n\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), revision, engine, about, strings.TrimPrefix(runtime.Version(), "go"),
		strings.TrimSpace(cmp.Or(bash(t.Context(), "cat /proc/sys/net/core/rmem_max", "").output, "unknown")))
	fmt.Fprintf(w, "What differs from the guide's words:\n\n")
	for _, c := range a.changes {
		fmt.Fprintf(w, "- `%s` is `%s`: %s.\n", c.old, cmp.Or(c.shown, c.new), c.why)
	}
	fmt.Fprintf(w, "- `nc -u …`, which does not end by itself, is ended as by Ctrl-C once its datagram has arrived.\n"+
		"- `ufw` and `iptables` run in a network namespace of their own, so that the machine's rules stay as they are.\n")
	for _, name := range slices.Sorted(maps.Keys(notRun)) {
		fmt.Fprintf(w, "- Not run: block `%s`; %s.\n", name, notRun[name])
	}
	fmt.Fprintf(w, "\nWhere a command is not the guide's, it stands for engines in other containers.\n")
	return w.String()
}
