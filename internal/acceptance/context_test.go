package acceptance

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// .dockerignore may not leave out a file that the binary is built from.
func TestBuildContext(t *testing.T) {
	text, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,Standard,GoFiles,EmbedFiles", "./cmd/state-gateway")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                 string
			Standard            bool
			GoFiles, EmbedFiles []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		folder, err := filepath.Rel(root, p.Dir)
		if p.Standard || err != nil || strings.HasPrefix(folder, "..") {
			continue
		}
		for _, name := range append(p.GoFiles, p.EmbedFiles...) {
			files++
			file := path.Join(filepath.ToSlash(folder), name)
			for line := range strings.Lines(string(text)) {
				pattern := strings.TrimSpace(line)
				if pattern != "" && !strings.HasPrefix(pattern, "#") && ignores(t, pattern, file) {
					t.Errorf("%s leaves out %s", pattern, file)
				}
			}
		}
	}
	if files == 0 {
		t.Error("the binary has no files")
	}
}

// ignores reports whether a pattern of .dockerignore, of the kinds that ours has, leaves out a file: "**/" at its front
// means every folder; what leaves out a folder leaves out all that is in it.
func ignores(t *testing.T, pattern, file string) bool {
	t.Helper()
	pattern, everywhere := strings.CutPrefix(pattern, "**/")
	if strings.ContainsAny(pattern, "!") || strings.Contains(pattern, "**") {
		t.Fatalf("a pattern of a kind that this test does not know: %s", pattern)
	}
	segments := strings.Split(file, "/")
	for first := range segments {
		for end := first + 1; end <= len(segments); end++ {
			if matched, err := path.Match(pattern, strings.Join(segments[first:end], "/")); err != nil {
				t.Fatal(err)
			} else if matched {
				return true
			}
		}
		if !everywhere {
			break
		}
	}
	return false
}
