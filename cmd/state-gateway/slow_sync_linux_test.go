package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
)

// A disk whose syncs take longer than their interval, row 37: the log keeps up with the rated load, and nothing is dropped.
// The file is renamed in the middle, and the stop waits for what is not safe yet.
func TestSlowSyncs(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	strace := needs.Command(t, "strace")
	traced := filepath.Join(t.TempDir(), "trace")
	const interval, takes = 100 * time.Millisecond, 150 * time.Millisecond
	args := []string{"-D", "-f", "--seccomp-bpf", "-qq", "-o", traced, "-e", "trace=fsync",
		"-e", fmt.Sprintf("inject=fsync:delay_exit=%d", takes.Microseconds())}
	if out, err := exec.Command(strace, append(slices.Clone(args), binary, "version")...).CombinedOutput(); err != nil {
		needs.Skip(t, fmt.Sprintf("strace cannot trace here: %v: %s", err, out))
	}
	p := startCommand(t, exec.Command(strace, append(args, binary)...), fmt.Sprintf("LOG_SYNC_INTERVAL=%d", interval.Milliseconds()))
	rate := min(logRate(), 5000)
	load, stop := p.startLoad(t, rate)
	old := p.logFile + ".1"
	var lags []float64
	long := soak(15*time.Second, 5*time.Second)
	for begin := time.Now(); time.Since(begin) < long; time.Sleep(20 * time.Millisecond) {
		lags = append(lags, p.figure(t, "log_lag_seconds"))
		if len(lags) == 50 {
			if err := os.Rename(p.logFile, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	code, _ := p.stop(t, syscall.SIGTERM)
	s := p.final(t)
	slices.Sort(lags)
	t.Logf("lag: median %.3f s, longest %.3f s of %d; %d states", lags[len(lags)/2], lags[len(lags)-1], len(lags), s.Applied)
	if code != 0 || s.LogDropped != 0 || s.Logged != s.Applied || s.Applied != load.Sent() {
		t.Errorf("exit code %d, %d sent, %+v: %s", code, load.Sent(), s, p.said())
	}
	if most := (interval + takes).Seconds(); lags[len(lags)/2] > most {
		t.Errorf("half of the time the lag was longer than %v s: %v", most, lags)
	}
	in := logged{}
	if n := in.add(t, old) + in.add(t, p.logFile); uint64(n) != s.Logged {
		t.Errorf("%d lines in the files, %+v", n, s)
	}
	text, err := os.ReadFile(traced)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "(DELAYED)"); n < int(long/(takes+interval)/2) {
		t.Errorf("only %d syncs were slow", n)
	}
}
