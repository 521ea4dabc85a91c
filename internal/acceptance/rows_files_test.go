package acceptance

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Rotation by the guide's own rules and a backup, while states arrive.
func (r *row) files() {
	rules, _ := r.block("logrotate")
	if err := os.WriteFile(r.rules, []byte(rules), 0o644); err != nil {
		r.Fatal(err)
	}
	r.guide("directory")
	r.guide("host")
	r.awaitStart()
	cycles, length := uint64(2), "10s"
	if soak() {
		cycles, length = 4, "20s"
	}
	load := "docker run --rm --network host " + r.site.image + " load --target 127.0.0.1:" + r.udp +
		" --engines 1000 --rate 2000 --for " + length + " --gateway http://127.0.0.1:" + r.http
	wait := r.shellMeanwhile(load, load)

	for cycle := range cycles {
		r.awaitStats("lines in the present file", func(s stats) bool { return s.Logged > (cycle+1)*1000 })
		if cycle == 1 {
			r.backUp()
		}
		r.guide("rotate")
		r.awaitStats("the gateway in the new file", func(s stats) bool { return s.LogReopens > cycle })
		// The forced cycles of the guide must be 3 s apart, as state-log.md says; this is the rest of them.
		select {
		case <-r.Context().Done():
		case <-time.After(3 * time.Second):
		}
	}
	report := wait()
	figures := r.stopAndRemove()

	names, err := filepath.Glob(r.directory + "/engine_states.jsonl*")
	if err != nil || len(names) != int(cycles)+1 {
		r.Fatalf("files: %v %v", names, err)
	}
	var total uint64
	var counts []string
	for _, name := range names {
		n := len(r.parse(name, r.readLog(name), false))
		total += uint64(n)
		counts = append(counts, fmt.Sprintf("%s %d", filepath.Base(name), n))
	}
	if total != figures.count("applied") || total != r.figure(report, "sent") {
		r.Errorf("%d lines in all files, %d applied, %d sent", total, figures.count("applied"), r.figure(report, "sent"))
	}
	r.saw("Lines: %s. Together %d: every state that was sent, once.", strings.Join(counts, ", "), total)
}

// readLog returns the content of a log, compressed or not.
func (r *row) readLog(name string) []byte {
	r.Helper()
	f, err := os.Open(name)
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	var from io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if from, err = gzip.NewReader(f); err != nil {
			r.Fatal(err)
		}
	}
	text, err := io.ReadAll(from)
	if err != nil {
		r.Fatal(err)
	}
	return text
}

func (r *row) backUp() {
	r.guide("backup")
	r.guide("inspect")
	copies, err := filepath.Glob(r.backup + "/engine_states_*.jsonl")
	if err != nil || len(copies) != 1 {
		r.Fatalf("copies: %v %v", copies, err)
	}
	lines := r.parse("the copy", r.readLog(copies[0]), true)
	if len(lines) == 0 {
		r.Error("the copy is empty")
	}
	r.saw("The copy, made while states arrived, has %d whole lines, and nothing else but possibly a part of the last one.", len(lines))
	if text := string(r.readLog(r.backup + "/elrar-state-gateway.json")); !strings.Contains(text, "VLLM_STATE_GATEWAY_UDP_PORT="+r.udp) {
		r.Errorf("docker inspect: %s", text)
	}
}

// The directory given to a user, or not.
func (r *row) notRoot() {
	r.guide("directory")
	r.guide("not-root")
	r.awaitStart()
	r.guide("load-host")
	owner := strings.TrimSpace(r.quiet("stat -c '%u %a' " + r.directory + "/engine_states.jsonl"))
	if owner != "65532 644" {
		r.Errorf("the log is of %s", owner)
	}
	r.stopAndRemove()

	command, _ := r.block("not-root")
	minimal := strings.Replace(strings.Replace(command, r.site.image, r.minimal, 1), "--user 65532:65532 ", "", 1)
	r.besides("rm " + r.directory + "/engine_states.jsonl")
	r.shell(minimal, minimal, 0)
	r.awaitStart()
	r.rotates("nocreate") // the user has no name here
	r.saw("The default image with --user and minimal, without capabilities and with a read-only root: nothing lost, through a rotation.")

	// A user who may not write there: it serves, and says what the log does not get.
	refused := strings.Replace(command[strings.Index(command, "docker run"):], "65532:65532", "65533:65533", 1)
	r.besides("rm " + r.directory + "/engine_states.jsonl*")
	r.shell(refused, refused, 0)
	r.awaitStart()
	sent := r.figure(r.besides("docker run --rm --network host "+r.site.image+" load --target 127.0.0.1:"+r.udp+
		" --engines 10 --rate 50 --for 2s --gateway http://127.0.0.1:"+r.http), "sent")
	s := r.awaitStats("dropped lines, counted", func(s stats) bool { return s.LogDropped == sent })
	if s.Applied != sent || s.Logged != 0 || len(r.said("permission denied")) == 0 {
		r.Errorf("without permission: %+v\n%s", s, r.messages())
	}
	r.besides("docker logs " + r.container)
	r.saw("A user who may not write into the directory: %d states served, %d lines counted as dropped, and a message.", s.Applied, s.LogDropped)
}
