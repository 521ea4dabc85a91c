package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/elrar/state-gateway/internal/needs"
)

// guideStanza is the deployment guide's, word for word.
const guideStanza = `/tmp/elrar/engine_states.jsonl {
    daily
    rotate 7
    compress
    delaycompress
    missingok
    notifempty
    create 644 root root
}
`

func TestGuideStanza(t *testing.T) {
	_, stanza, _ := strings.Cut(read(t, "logrotate/docker.conf"), "\n/tmp/")
	if "/tmp/"+stanza != guideStanza {
		t.Errorf("/tmp/%s", stanza)
	}
}

// The real logrotate rotates the real gateway's log with each of the files: as root's, and as that of somebody else. The
// gateway goes on in the new file, and each state is in one of both.
func TestLogrotate(t *testing.T) {
	logrotate := needs.Command(t, "logrotate")
	needs.Root(t) // to be somebody else
	nobody, err := user.Lookup("nobody")
	if err != nil {
		needs.Skip(t, err.Error())
	}
	group, err := user.LookupGroupId(nobody.Gid)
	if err != nil {
		needs.Skip(t, err.Error())
	}
	for file, owner := range map[string]struct{ user, stanza string }{
		"logrotate/docker.conf":  {"root", "/tmp/elrar/engine_states.jsonl"},
		"logrotate/systemd.conf": {"nobody", "/var/log/elrar/engine_states.jsonl"},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "elrar")
		log := filepath.Join(dir, "engine_states.jsonl")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		gateway := exec.Command(binary, "--udp-port=0", "--bind-address=127.0.0.1", "--http-address=127.0.0.1:0",
			"--log-file="+log, "--log-min-free=0")
		gateway.Env = []string{}
		if owner.user == "nobody" {
			uid, _ := strconv.Atoi(nobody.Uid)
			gid, _ := strconv.Atoi(nobody.Gid)
			for _, path := range []string{outer, filepath.Dir(outer)} { // both the test's own
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(dir, uid, gid); err != nil {
				t.Fatal(err)
			}
			gateway.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}
		// The file as it is, but for the place, and for the user that this machine may lack.
		text := read(t, file)
		for _, change := range [][2]string{{owner.stanza, log}, {" elrar elrar", " nobody " + group.Name}} {
			text = strings.ReplaceAll(text, change[0], change[1])
		}
		conf := filepath.Join(outer, "conf")
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		g := start(t, gateway)
		g.send(t, "before")
		awaitLines(t, log, 1)
		if got := run(t, exec.Command(logrotate, "-f", "-s", filepath.Join(outer, "state"), conf)); got != (result{}) {
			t.Fatalf("%s: %+v", file, got)
		}
		sent := 1
		await(t, "a line in the new file", func() (bool, string) {
			g.send(t, fmt.Sprint("after-", sent))
			sent++
			info, err := os.Stat(log)
			return err == nil && info.Size() > 0, fmt.Sprint(err)
		})
		info, err := os.Stat(log)
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
		if code := g.stop(t); code != 0 {
			t.Errorf("%s: exit code %d", file, code)
		}
		if n := strings.Count(read(t, log), "\n") + strings.Count(read(t, log+".1"), "\n"); n != sent {
			t.Errorf("%s: %d lines of %d states", file, n, sent)
		}
	}
}
