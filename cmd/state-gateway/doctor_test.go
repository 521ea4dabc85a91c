package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/doctor"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
)

// runDoctor runs the doctor on a gateway with the settings that it was started with, and returns its findings.
func (p *process) runDoctor(t *testing.T, args ...string) (code int, findings []doctor.Finding) {
	t.Helper()
	environ := env(fmt.Sprintf("UDP_PORT=%d", p.udp.Port()), "LOG_FILE="+p.logFile)
	got := runBinary(t, environ, append([]string{"doctor", "--json", "--for=500ms", "--url=" + p.url}, args...)...)
	if err := json.Unmarshal([]byte(got.stdout), &findings); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	return got.code, findings
}

// seen reports whether there is a finding of a level and an about with all of the words.
func seen(findings []doctor.Finding, level doctor.Level, about string, words ...string) bool {
	for _, f := range findings {
		all := f.Level == level && f.About == about
		for _, w := range words {
			all = all && strings.Contains(f.Saw+" "+f.Do, w)
		}
		if all {
			return true
		}
	}
	return false
}

// A gateway that works has no problems, and what the doctor sends changes nothing but one counter.
func TestDoctorOfAHealthyGateway(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sockets and processes are looked at in /proc")
	}
	p := startGateway(t)
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: p.udp, Engines: 5, Interval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { fleet.Run(ctx); close(done) }()
	p.awaitStats(t, "all engines", func(s stats) bool { return s.TotalEngines == 5 })

	code, findings := p.runDoctor(t)
	if doctor.Look(os.Getenv, p.logFile).LogLayer != "" { // the tests run in a container, and their folders are in its layer
		if code != 1 || !seen(findings, doctor.Problem, "log", "container's own layer") {
			t.Errorf("exit code %d: %+v", code, findings)
		}
		code, findings = 0, slices.DeleteFunc(findings, func(f doctor.Finding) bool { return strings.Contains(f.Saw, "container's own layer") })
	}
	if code != 0 || doctor.Problems(findings) {
		t.Errorf("exit code %d: %+v", code, findings)
	}
	port := strconv.Itoa(int(p.udp.Port()))
	pid := fmt.Sprintf("process %d (state-gateway)", p.cmd.Process.Pid)
	for about, words := range map[string][]string{
		"settings": {"VLLM_STATE_GATEWAY_UDP_PORT=" + port + " (environment)"},
		"gateway":  {p.url},
		"sockets":  {":" + port, pid},
		"way":      {"127.0.0.1:" + port},
		"arrival":  {"valid datagrams a second"},
		"engines":  {"127.0.0.1 (5 engines, "},
		"log":      {"the gateway writes " + p.logFile},
	} {
		if !seen(findings, doctor.OK, about, words...) {
			t.Errorf("nothing about %s with %q: %+v", about, words, findings)
		}
	}
	cancel()
	<-done
	s := p.awaitStats(t, "what was sent", func(s stats) bool { return s.Applied+s.Duplicate+s.OutOfOrder == fleet.Sent() })
	if s.Rejected["empty"] == 0 || s.InvalidStates != s.Rejected["empty"] || s.TotalEngines != 5 {
		t.Errorf("after the doctor: %+v", s)
	}
}

func TestDoctorWhenNothingArrives(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sockets and processes are looked at in /proc")
	}
	t.Parallel()
	p := startGateway(t, "WORKERS=2")
	code, findings := p.runDoctor(t)
	if code != 1 || !seen(findings, doctor.Problem, "arrival", "nothing has arrived since the gateway started", "ufw allow") {
		t.Errorf("exit code %d: %+v", code, findings)
	}

	// Only invalid ones: Python's NaN.
	conn := p.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			conn.Write([]byte(strings.Replace(guideDatagram, "100.0", "NaN", 1)))
		}
	}()
	p.awaitStats(t, "some", func(s stats) bool { return s.Rejected["json"] > 0 })
	code, findings = p.runDoctor(t)
	if code != 1 || !seen(findings, doctor.Problem, "arrival", "everything that arrived", "json", "NaN") {
		t.Errorf("NaN: exit code %d: %+v", code, findings)
	}

	// Another log file than the gateway's.
	if _, findings = p.runDoctor(t, "--log-file="+filepath.Join(t.TempDir(), "other.jsonl")); !seen(findings, doctor.Problem, "log", p.logFile) {
		t.Errorf("another log file: %+v", findings)
	}
	// It says what it goes by when it is asked with other settings.
	port := fmt.Sprintf("UDP_PORT=%d instead of 9999", p.udp.Port())
	got := runBinary(t, nil, "doctor", "--for=10ms", "--url="+p.url)
	if got.code != 1 || !strings.Contains(got.stdout, port) || !strings.Contains(got.stdout, "problem  arrival") {
		t.Errorf("%+v", got)
	}
}

func TestDoctorWithoutAGateway(t *testing.T) {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	environ := env(fmt.Sprintf("UDP_PORT=%d", conn.LocalAddr().(*net.UDPAddr).Port), "LOG_FILE=/nonexistent/x.jsonl",
		"HTTP_ADDRESS="+closed.Addr().String(), "STALE_TRESHOLD=1")
	got := runBinary(t, environ, "doctor")
	for _, want := range []string{"problem  gateway   no gateway answers at http://" + closed.Addr().String() + ": dial tcp", "refused",
		"problem  log       /nonexistent/x.jsonl: its folder /nonexistent does not exist", "VLLM_STATE_GATEWAY_STALE_THRESHOLD"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %+v", want, got)
		}
	}
	if got.code != 1 || !strings.HasPrefix(got.stderr, "state-gateway: ") {
		t.Errorf("%+v", got)
	}
	if runtime.GOOS == "linux" {
		if want := fmt.Sprintf("problem  sockets   process %d (", os.Getpid()); !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %s", want, got.stdout)
		}
	}
	if got := runBinary(t, env("UDP_PORT=x"), "doctor"); got.code != 78 {
		t.Errorf("a bad setting: %+v", got)
	}
	for _, bad := range []string{"--url=localhost:8080", "--for=0s"} {
		if got := runBinary(t, nil, "doctor", bad); got.code != 64 {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

// A gateway is known by the program that it runs, not by its file's name; one that is stopped is said to be.
func TestDoctorOfARenamedAndAFrozenGateway(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sockets and processes are looked at in /proc")
	}
	t.Parallel()
	renamed := filepath.Join(t.TempDir(), "gw-2")
	if err := os.Link(binary, renamed); err != nil {
		t.Fatal(err)
	}
	p := startCommand(t, exec.Command(renamed))
	who := fmt.Sprintf("process %d (gw-2)", p.cmd.Process.Pid)
	_, findings := p.runDoctor(t)
	if !seen(findings, doctor.OK, "sockets", who) || seen(findings, doctor.Problem, "sockets") {
		t.Errorf("it answers: %+v", findings)
	}
	if !seen(findings, doctor.OK, "log", "the gateway writes "+p.logFile) {
		t.Errorf("its log: %+v", findings)
	}

	// Asked where nobody answers, the doctor says where it does.
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, findings = p.runDoctor(t, "--url=http://"+closed.Addr().String())
	if !seen(findings, doctor.Note, "sockets", who) || seen(findings, doctor.Problem, "sockets") {
		t.Errorf("asked elsewhere: %+v", findings)
	}

	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	code, findings := p.runDoctor(t)
	if code != 1 || !seen(findings, doctor.Problem, "gateway", who+" is frozen", fmt.Sprintf("kill -CONT %d", p.cmd.Process.Pid)) ||
		seen(findings, doctor.Problem, "sockets") {
		t.Errorf("frozen: exit code %d: %+v", code, findings)
	}
}

// What takes connections and does not answer is told from what is not there.
func TestDoctorOfASilentServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes the connections
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	got := runBinary(t, env("UDP_PORT=0", "ENABLE_LOG=no"), "doctor", "--url=http://"+silent.Addr().String())
	if got.code != 1 || !strings.Contains(got.stdout, "takes connections there and does not answer") {
		t.Errorf("%+v", got)
	}
}

// The message about a taken port says who has it.
func TestWhoHasThePort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked at in /proc")
	}
	p := startGateway(t)
	who := fmt.Sprintf("process %d (state-gateway) has this port", p.cmd.Process.Pid)
	got := runBinary(t, env(fmt.Sprintf("UDP_PORT=%d", p.udp.Port()), "HTTP_ADDRESS=127.0.0.1:0", "ENABLE_LOG=no"))
	if got.code != 69 || !strings.Contains(got.stderr, who) {
		t.Errorf("UDP: %+v", got)
	}
	got = runBinary(t, env("UDP_PORT=0", "HTTP_ADDRESS="+strings.TrimPrefix(p.url, "http://"), "ENABLE_LOG=no"))
	if got.code != 69 || !strings.Contains(got.stderr, who) {
		t.Errorf("HTTP: %+v", got)
	}
}

// inContainer returns a command that runs a script in a network namespace with a veth pair, such as a container has on a
// bridge: 192.0.2.2 is its own address. "$0" is the program.
func inContainer(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	needs.Root(t)
	needs.Command(t, "ip")
	unshare := needs.Command(t, "unshare")
	const network = `ip link set lo up && ip link add eth0 type veth peer name host0 && ip address add 192.0.2.2/24 dev eth0 &&
		ip link set eth0 up && ip link set host0 up && ip route add default via 192.0.2.1 && `
	if out, err := exec.Command(unshare, "--net", "sh", "-c", network+"true").CombinedOutput(); err != nil {
		needs.Skip(t, fmt.Sprintf("no network namespace with a veth pair can be made: %v: %s", err, out))
	}
	cmd := exec.Command(unshare, "--net", "sh", "-c", network+script, binary)
	cmd.Env = []string{"container=test", "PATH=" + os.Getenv("PATH")}
	return cmd
}

// What cannot work in a container is warned of, and what is wrong altogether is explained.
func TestAddressesInAContainer(t *testing.T) {
	for _, test := range []struct {
		setting string
		want    string // of one warning; "" = there is none
	}{
		{"NETWORK_MODE=broadcast", "VLLM_STATE_GATEWAY_NETWORK_MODE=broadcast behind a bridge network"},
		{"BIND_ADDRESS=192.0.2.2", "VLLM_STATE_GATEWAY_BIND_ADDRESS=192.0.2.2 is this container's own address"},
		{"BIND_ADDRESS=127.0.0.1", "VLLM_STATE_GATEWAY_BIND_ADDRESS=127.0.0.1: only what runs in this container"},
		{"BIND_ADDRESS=0.0.0.0", ""},
	} {
		p := startCommand(t, inContainer(t, `exec "$0"`), test.setting)
		warned := strings.Count(p.said(), `"level":"WARN","msg":"VLLM_STATE_GATEWAY_`)
		if test.want == "" && warned != 0 || test.want != "" && (warned != 1 || !strings.Contains(p.said(), test.want)) {
			t.Errorf("%s: %s", test.setting, p.said())
		}
	}
	cmd := inContainer(t, `exec "$0" --bind-address=192.0.2.77 --enable-log=no`)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 69 || !strings.Contains(string(out), "192.0.2.77 is no address of this container, which has 192.0.2.2; 0.0.0.0 means every interface") {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}

// From within a container the doctor sees the same as the gateway does there; from outside it says where to look.
func TestDoctorInAContainer(t *testing.T) {
	nsenter := needs.Command(t, "nsenter")
	settings := []string{"UDP_PORT=9999", "HTTP_ADDRESS=127.0.0.1:8080", "ENABLE_LOG=no"}
	p := startCommand(t, inContainer(t, `exec "$0"`), settings...)
	pid := strconv.Itoa(p.cmd.Process.Pid)
	inside := exec.Command(nsenter, "-n", "-t", pid, binary, "doctor", "--for=10ms")
	inside.Env = append([]string{"container=test"}, env("UDP_PORT=9999", "HTTP_ADDRESS=127.0.0.1:8080", "ENABLE_LOG=no")...)
	out, _ := inside.Output()
	if inside.ProcessState.ExitCode() != 1 {
		t.Errorf("exit code %d", inside.ProcessState.ExitCode())
	}
	for _, want := range []string{"ok       network   a container (", "with a network of its own: eth0 192.0.2.2\n",
		"ok       way       an empty datagram got to the gateway by way of 127.0.0.1:9999, ", "192.0.2.2:9999\n",
		"problem  arrival   nothing has arrived", "docker port elrar-state-gateway must show 9999/udp"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	// Nobody answers on port 1 here.
	outside := runBinary(t, env("HTTP_ADDRESS=127.0.0.1:1", "ENABLE_LOG=no"), "doctor")
	if outside.code != 1 || !strings.Contains(outside.stdout, "in another network namespace") || !strings.Contains(outside.stdout, "nsenter -n -t ") {
		t.Errorf("%+v", outside)
	}
}

// The collector knows the control group's limit, unless it is told otherwise.
func TestMemoryLimitOfTheControlGroup(t *testing.T) {
	dir := memoryCgroup(t, 256<<20)
	command := func() *exec.Cmd {
		return exec.Command("sh", "-c", `echo $$ > `+dir+`/cgroup.procs && exec "$0"`, binary)
	}
	p := startCommand(t, command(), "WORKERS=2", "HISTORY=300")
	// Nine tenths of 256 MiB, less twice two receive buffers of 8 MiB.
	if want := fmt.Sprintf(`"control_group":%d,"gomemlimit":%d`, 256<<20, (256<<20)/10*9-(32<<20)); !strings.Contains(p.said(), want) {
		t.Errorf("no %s in %s", want, p.said())
	}
	if !strings.Contains(p.said(), `10000 engines with a history of 300 states`) {
		t.Errorf("no warning about the history: %s", p.said())
	}
	set := command()
	set.Env = []string{"GOMEMLIMIT=100MiB"}
	p = startCommand(t, set)
	if strings.Contains(p.said(), "gomemlimit") {
		t.Errorf("GOMEMLIMIT is set: %s", p.said())
	}

	// A table that alone is larger than the limit: the kernel would kill the gateway when the engines have come.
	hopeless := command()
	hopeless.Env = env("HISTORY=1000", "UDP_PORT=0", "HTTP_ADDRESS=127.0.0.1:0", "ENABLE_LOG=no")
	out, err := hopeless.CombinedOutput()
	if hopeless.ProcessState.ExitCode() != exitConfig || !strings.Contains(string(out), "VLLM_STATE_GATEWAY_HISTORY=1000 takes ") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestGoShare(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		group           uint64
		sockets, buffer int
		want            uint64
	}{
		{1000 * mib, 1, 50 * mib, 800 * mib},
		{1000 * mib, 4, 50 * mib, 500 * mib},
		{100 * mib, 4, 1 << 30, 50 * mib},
		{1000 * mib, 2, 0, 900 * mib},
	} {
		if got := goShare(test.group, test.sockets, test.buffer); got != test.want {
			t.Errorf("%+v: %d", test, got/mib)
		}
	}
}

func TestCheckConfigForeseesMemory(t *testing.T) {
	got := runBinary(t, env("ENABLE_LOG=no", "HISTORY=100000", "MAX_ENGINES=10000000"), "check-config")
	if got.code != exitConfig || !strings.HasPrefix(got.stderr, "state-gateway: VLLM_STATE_GATEWAY_MAX_ENGINES=10000000 with VLLM_STATE_GATEWAY_HISTORY=100000 takes ") ||
		strings.Contains(got.stderr, "warning") {
		t.Errorf("%+v", got)
	}
}
