package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/internal/needs"
)

// commands returns the commands that a document lets its reader try, by their names.
func commands(t *testing.T, file string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)<!-- try: (\\w+) -->\n```sh\n(.*?)```\n").FindAllStringSubmatch(read(t, file), -1) {
		found[block[1]] = block[2]
	}
	if len(found) != 3 {
		t.Fatalf("%s: %q", file, found)
	}
	return found
}

// Both languages have the same commands, addresses and files, in an order that may be the language's.
func TestLanguagesAgree(t *testing.T) {
	code := regexp.MustCompile("(?s)```.*?```|`[^`]*`")
	english := code.FindAllString(read(t, "../docs/udp-unicast.md"), -1)
	chinese := code.FindAllString(read(t, "../docs/udp-unicast.zh.md"), -1)
	slices.Sort(english)
	slices.Sort(chinese)
	if len(english) < 30 || !slices.Equal(english, chinese) {
		t.Errorf("%q\n%q", english, chinese)
	}
}

// What docs/udp-unicast.md lets its reader type works as it stands, in a network of its own, with the program built
// before and another place for the log.
func TestUnicastDocument(t *testing.T) {
	needs.Root(t) // for the network
	for _, program := range []string{"unshare", "ip", "nc", "curl", "bash"} {
		needs.Command(t, program)
	}
	dir := t.TempDir()
	if err := os.Symlink(here(t, "."), filepath.Join(dir, "deploy")); err != nil {
		t.Fatal(err)
	}
	try := commands(t, "../docs/udp-unicast.md")
	const build = "CGO_ENABLED=0 go build ./cmd/state-gateway\n"
	if !strings.HasPrefix(try["start"], build) {
		t.Fatal(try["start"])
	}
	for name, text := range try {
		text = strings.ReplaceAll(strings.TrimPrefix(text, build), "/tmp/engine_states.jsonl", filepath.Join(dir, "engine_states.jsonl"))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--net", "bash", "-c", `
		ip link set lo up || exit
		bash -c "$(cat start)" >started 2>&1 &
		trap 'kill $!' EXIT
		for i in {1..300}; do curl -sf -o answer http://localhost:8080/livez && break; sleep 0.1; done
		bash send
		for i in {1..300}; do bash look >looked; [ "$(grep -c '"engine_id":"test"' looked)" = 1 ] && break; sleep 0.1; done
		trap - EXIT
		kill $!
		wait $!`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "STATE_GATEWAY="+binary)
	got := run(t, cmd)
	looked := strings.Split(strings.TrimSpace(read(t, filepath.Join(dir, "looked"))), "\n")
	if got.code != 0 || len(looked) != 3 || !strings.HasPrefix(looked[0], `{"test": {"engine_id": "test", `) ||
		!strings.Contains(looked[1], `"total_received": 1, `) || !strings.Contains(looked[2], `"state": `+guideDatagram) {
		t.Errorf("%+v\n%q\n%s", got, looked, read(t, filepath.Join(dir, "started")))
	}
}
