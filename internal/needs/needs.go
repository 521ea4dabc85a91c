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

// FullCheck skips a test outside the full check, and says why it is no part of go test ./...: it takes the whole machine,
// say, or another program's verdict depends on its version. STATE_REQUIRE_ALL or STATE_SOAK runs it.
func FullCheck(t testing.TB, why string) {
	t.Helper()
	if !IsFullCheck() {
		t.Skip("for the full check, .ci/run (STATE_REQUIRE_ALL=1): " + why)
	}
}

// IsFullCheck reports whether tests take as long as they need, and not as little as a newcomer waits.
func IsFullCheck() bool { return os.Getenv("STATE_REQUIRE_ALL") != "" || os.Getenv("STATE_SOAK") != "" }

// Why tests are for the full check.
const (
	WholeMachine = "it loads the whole machine"
	Verdict      = "what the program says depends on its version"
)

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
