// Package needs is for tests that need what a user's machine may lack.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// Skip skips a test for want of something, with the reason. Under .ci/run, which sets STATE_REQUIRE_ALL and provides
// everything, it fails the test instead: there, nothing may be left out unseen.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("STATE_REQUIRE_ALL") != "" {
		t.Fatalf("this must not be skipped here: %s", reason)
	}
	t.Skip(reason)
}

// Command returns the path of a program, or skips the test.
func Command(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, name+" is not installed")
	}
	return path
}

// Root skips the test unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "this test needs root")
	}
}
