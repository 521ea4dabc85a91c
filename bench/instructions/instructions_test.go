package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/internal/needs"
)

// recorded are the instructions per datagram of each stage, as counted when it last got faster or, for a reason, slower.
// (valgrind 3.19, Go 1.26.8, linux/amd64; the counts of two runs differ by less than 1 %.)
var recorded = map[string]int{
	"decode": 2694, // 2494 for the wire's own order alone, before one scanner took any order and unknown fields
	"apply":  989,  // 780 before order, heartbeats, skew and conflicts, 885 before an engine's cell went by a keyed hash
	"append": 310,
}

// slack is how much more than recorded a stage may take.
const slack = 1.10

// TestInstructions guards the hot path's cost without a clock: the same count on a busy machine as on an idle one.
func TestInstructions(t *testing.T) {
	if runtime.GOARCH != "amd64" || !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skipf("the counts are recorded for Go 1.26 on amd64, not %s on %s", runtime.Version(), runtime.GOARCH)
	}
	if raceEnabled {
		t.Skip("the driver is built without the race detector; once is enough")
	}
	needs.FullCheck(t, needs.Verdict)
	valgrind := needs.Command(t, "valgrind")
	driver := filepath.Join(t.TempDir(), "instructions")
	build := exec.Command("go", "build", "-o", driver, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	collected := regexp.MustCompile(`Collected : (\d+)`)
	count := func(stage string, n int) int {
		cmd := exec.Command(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", driver, stage, strconv.Itoa(n))
		cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1") // its signals are too much for callgrind
		out, err := cmd.CombinedOutput()
		match := collected.FindSubmatch(out)
		if err != nil || match == nil {
			t.Fatalf("valgrind: %v: %s", err, out)
		}
		instructions, err := strconv.Atoi(string(match[1]))
		if err != nil {
			t.Fatal(err)
		}
		return instructions
	}
	const short, long = 4096, 20480 // both whole rounds of the driver's datagrams
	for stage, was := range recorded {
		perDatagram := (count(stage, long) - count(stage, short)) / (long - short)
		t.Logf("%s: %d instructions a datagram; %d recorded", stage, perDatagram, was)
		if float64(perDatagram) > slack*float64(was) {
			t.Errorf("%s: %d instructions a datagram, more than %d + 10 %%", stage, perDatagram, was)
		}
		if float64(perDatagram)*slack < float64(was) {
			t.Logf("%s got cheaper: record %d", stage, perDatagram)
		}
	}
}
