package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
)

// pythonClient is the folder of the client for routers in Python.
var pythonClient = filepath.Join("..", "..", "client", "python")

var ranTests = regexp.MustCompile(`(?m)^Ran [1-9][0-9]* tests? in`)

// The Python client's own tests, those with a gateway against this binary.
func TestPythonClient(t *testing.T) {
	python := needs.Command(t, "python3")
	t.Parallel()
	modules, err := filepath.Glob(filepath.Join(pythonClient, "tests", "test_*.py"))
	if err != nil || len(modules) == 0 {
		t.Fatal(modules, err)
	}
	for _, path := range modules {
		module := "tests." + strings.TrimSuffix(filepath.Base(path), ".py")
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			out := runPython(t, []string{"STATE_GATEWAY_BINARY=" + binary}, python, "-m", "unittest", "-v", module)
			if !ranTests.Match(out) {
				t.Errorf("it ran no test: %s", out)
			}
			t.Logf("%s", out)
		})
	}
}

func TestPythonClientTypes(t *testing.T) {
	needs.FullCheck(t, needs.Verdict)
	mypy := needs.Command(t, "mypy")
	t.Parallel()
	runPython(t, nil, mypy, "--cache-dir="+t.TempDir())
}

// runPython runs a command in the Python client's folder, which must succeed, and returns what it printed.
func runPython(t *testing.T, environ []string, name string, args ...string) []byte {
	t.Helper()
	// The go command keeps a test's result until something changes that the test itself has looked at.
	err := filepath.WalkDir(pythonClient, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = pythonClient
	cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}
