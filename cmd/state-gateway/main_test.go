package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// binary is the program under test, built once, as it is shipped but for the stamp; with the
// race detector when the tests have it.
var binary string

func TestMain(m *testing.M) {
	// Unless -parallel says otherwise: the tests mostly wait for gateways, so there may be more than processors.
	flag.Set("test.parallel", "12")
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "state-gateway")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "state-gateway")
		args := []string{"build", "-buildvcs=false", "-ldflags", "-X main.version=1.2.3 -X main.revision=0123abc", "-o", binary}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, ".")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// result is what a run of the binary left behind.
type result struct {
	code           int
	stdout, stderr string
}

// runBinary runs the binary to its end, with the given environment and no other.
func runBinary(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	return runBinaryFor(t, 20*time.Second, environ, args...)
}

// runBinaryFor is runBinary for what takes its time.
func runBinaryFor(t *testing.T, most time.Duration, environ []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = environ, &stdout, &stderr, t.TempDir()
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// env returns environment entries for name=value pairs without their prefix.
func env(pairs ...string) []string {
	for i := range pairs {
		pairs[i] = "VLLM_STATE_GATEWAY_" + pairs[i]
	}
	return pairs
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--bogus"}, "unknown flag --bogus; see state-gateway --help"},
		{[]string{"nonsense"}, "unexpected argument nonsense; see state-gateway --help"},
		{[]string{"demmo"}, `unexpected argument demmo, did you mean "demo"? See state-gateway --help`},
		{[]string{"chekc-config"}, `unexpected argument chekc-config, did you mean "check-config"? See state-gateway --help`},
		{[]string{"health"}, "unexpected argument health; see state-gateway --help"},
		{[]string{"serve", "serve"}, "unexpected argument serve; see state-gateway --help"},
		{[]string{"serve", "demmo"}, "unexpected argument demmo; see state-gateway --help"},
		{[]string{"two\nlines"}, `unexpected argument two\nlines; see state-gateway --help`},
		{[]string{"serve", "more"}, "unexpected argument more; see state-gateway --help"},
		{[]string{"version", "more"}, "unexpected argument more; see state-gateway --help"},
		{[]string{"version", "--udp-port=1"}, "unknown flag --udp-port; see state-gateway --help"},
		{[]string{"demo", "--engines=0"}, "demo: --engines must be at least 1; see state-gateway --help"},
		{[]string{"demo", "--for=-1s"}, "demo: --for must not be negative; see state-gateway --help"},
		{[]string{"demo", "--interval=0s"}, "demo: --interval must be more than 0; see state-gateway --help"},
		{[]string{"healthcheck", "--timeout=0s"}, "healthcheck: --timeout must be more than 0; see state-gateway --help"},
	} {
		got := runBinary(t, nil, test.args...)
		if want := (result{64, "", "state-gateway: " + test.want + "\n"}); got != want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", test.args, got, want)
		}
	}
	if got := runBinary(t, nil, "--udp-port"); got.code != 64 || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a flag without its value: %+v", got)
	}
}

func TestHelp(t *testing.T) {
	got := runBinary(t, nil, "--help")
	if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "check-config") {
		t.Errorf("%+v", got)
	}
	got = runBinary(t, nil, "serve", "--help")
	if got.code != 0 || !strings.Contains(got.stdout, "--udp-port=9999") || !strings.Contains(got.stdout, "($VLLM_STATE_GATEWAY_UDP_PORT)") {
		t.Errorf("%+v", got)
	}
}

func TestVersion(t *testing.T) {
	want := fmt.Sprintf("state-gateway 1.2.3 (0123abc, %s, %s/%s)\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, args := range [][]string{{"version"}, {"--version"}, {"top", "--version"}} {
		if got := runBinary(t, nil, args...); got != (result{0, want, ""}) {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestBadValue(t *testing.T) {
	want := result{78, "", `state-gateway: VLLM_STATE_GATEWAY_UDP_PORT (--udp-port): "tcp://10.0.0.1:9999" is not allowed; ` +
		"allowed: an integer from 0 to 65535\n"}
	bad := env("UDP_PORT=tcp://10.0.0.1:9999")
	for _, args := range [][]string{{}, {"serve"}, {"check-config"}} {
		if got := runBinary(t, bad, args...); got != want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", args, got, want)
		}
	}
	if got := runBinary(t, nil, "--stale-threshold=-5"); got.code != 78 || !strings.Contains(got.stderr, "STALE_THRESHOLD") {
		t.Errorf("by flag: %+v", got)
	}
	if got := runBinary(t, bad, "version"); got.code != 0 {
		t.Errorf("version minds a setting that is not its own: %+v", got)
	}
	if got := runBinary(t, bad, "check-config", "--udp-port=1"); got.code != 0 {
		t.Errorf("the flag does not win: %+v", got)
	}
}
