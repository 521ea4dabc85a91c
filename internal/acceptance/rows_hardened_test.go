package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Root without capabilities, in a directory that is root's.
func (r *row) hardened() {
	r.guide("directory")
	r.guide("hardened")
	r.awaitStart()
	if caps := r.quiet("docker exec " + r.container + " grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/1/status"); strings.Count(caps, "0000000000000000") != 3 ||
		!strings.Contains(caps, "NoNewPrivs:\t1") {
		r.Errorf("it has more than it should:\n%s", caps)
	}
	if warned := r.warned("own layer"); warned != "" {
		r.Errorf("the log's directory is mounted: %s", warned)
	}
	r.rotates("create 644 root root")
	r.saw("Root without any capability, with a read-only root: nothing lost, through a rotation.")
}

// rotates loads the gateway that runs, rotates its log by the guide's rules, with the given line for the next file, loads it again and
// stops it: no line may be missing.
func (r *row) rotates(next string) {
	r.Helper()
	rules, _ := r.block("logrotate")
	if err := os.WriteFile(r.rules, []byte(strings.Replace(rules, "create 644 root root", next, 1)), 0o644); err != nil {
		r.Fatal(err)
	}
	r.guide("load-host")
	r.guide("rotate")
	r.awaitStats("the gateway in the new file", func(s stats) bool { return s.LogReopens > 0 })
	r.guide("load-host")
	figures := r.stopAndRemove()
	names, err := filepath.Glob(r.directory + "/engine_states.jsonl*")
	if err != nil || len(names) != 2 {
		r.Fatalf("files: %v %v", names, err)
	}
	var total uint64
	for _, name := range names {
		lines := r.parse(name, r.readLog(name), false)
		if len(lines) == 0 {
			r.Errorf("%s is empty", name)
		}
		total += uint64(len(lines))
	}
	if total == 0 || total != figures.count("applied") {
		r.Errorf("%d lines in all files, %d applied", total, figures.count("applied"))
	}
}

// The limits of the users' guide as they type them, without -v: one warning, which says what to add.
func (r *row) withoutVolume() {
	r.besides("docker run -d --name " + r.container + " --memory=256m --cpus=0.5 " + r.site.image)
	r.awaitStart()
	if said := r.said("own layer"); len(said) != 1 || said[0]["level"] != "WARN" || !strings.Contains(fmt.Sprint(said[0]["remedy"]), "-v /tmp/elrar:/data") {
		r.Errorf("%v", r.messages())
	}
	out := r.shell("docker exec "+r.container+" state-gateway doctor --for=100ms", "docker exec "+r.container+" state-gateway doctor --for=100ms", 1)
	if strings.Count(out, "own layer") != 1 || !strings.Contains(out, "-v /tmp/elrar:/data") {
		r.Errorf("doctor: %s", out)
	}
	r.saw("The gateway warns once, with the -v to add, and doctor calls it a problem.")

	// A paused container is told from one that is gone, from the host.
	r.docker("pause", r.container)
	defer r.docker("unpause", r.container)
	program := filepath.Join(r.TempDir(), "gw-2")
	r.quiet("CGO_ENABLED=0 go build -o " + program + " ./cmd/state-gateway")
	paused := program + " doctor --url " + r.url()
	if out := r.shell(paused, paused, 1); !strings.Contains(out, "docker unpause elrar-state-gateway") {
		r.Errorf("paused: %s", out)
	}
	r.saw("Paused, it is said to take connections and not to answer.")
}
