package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

func TestLoadUsage(t *testing.T) {
	const target = "load: --target must be host:port ([…] around an IPv6 address), the port from 1 to 65535, not "
	const rate = "--rate: must be max or more than 0 and at most 1000000000, not "
	for _, test := range []struct {
		args string // split at spaces
		want string
	}{
		{"more", "unexpected argument more"},
		{"--target=127.0.0.1", target + `"127.0.0.1"`},
		{"--target=:9999", target + `":9999"`},
		{"--target=::1:9999", target + `"::1:9999"`},
		{"--target=[::1]:0", target + `"[::1]:0"`},
		{"--target=gateway:65536", target + `"gateway:65536"`},
		{"--target=gateway:http", target + `"gateway:http"`},
		{"--engines=0", "load: --engines must be from 1 to 1000000"},
		{"--engines=1000001", "load: --engines must be from 1 to 1000000"},
		{"--rate=0", rate + `"0"`},
		{"--rate=-1", rate + `"-1"`},
		{"--rate=NaN", rate + `"NaN"`},
		{"--rate=Inf", rate + `"Inf"`},
		{"--rate=fast", rate + `"fast"`},
		{"--for=-1s", "load: --for must not be negative"},
		{"--senders=0", "load: --senders must be from 1 to 1024"},
		{"--senders=1025 --engines=2000", "load: --senders must be from 1 to 1024"},
		{"--senders=3 --engines=2", "load: --senders must not be more than --engines: each sends the states of its own"},
		{"--shape=round", `--shape must be one of "usual","compact","shuffled","mixed" but got "round"`},
		{"--invalid=10", "load: --invalid is for --shape=mixed only"},
		{"--shape=mixed --invalid=-1", "load: --invalid must be from 0 to 100 (percent)"},
		{"--shape=mixed --invalid=100.5", "load: --invalid must be from 0 to 100 (percent)"},
		{"--shape=mixed --invalid=NaN", "load: --invalid must be from 0 to 100 (percent)"},
		{"--gateway=http://", `--gateway: "http://" is no gateway's URL: it is one such as http://127.0.0.1:8080, without user, query and fragment`},
		{"--gateway=", "--gateway: there is no URL: a gateway's is one such as http://127.0.0.1:8080"},
		{"--gateway=http://a,http://b", "--gateway: several URLs, and one is asked for"},
	} {
		got := runBinary(t, nil, append([]string{"load"}, strings.Fields(test.args)...)...)
		if want := (result{64, "", "state-gateway: " + test.want + "; see state-gateway --help\n"}); got != want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", test.args, got, want)
		}
	}
}

func TestLoadInvalid(t *testing.T) {
	none, some := 0.0, 20.0
	for _, test := range []struct {
		c    loadCommand
		want float64
	}{
		{loadCommand{Shape: traffic.Usual}, 0},
		{loadCommand{Shape: traffic.Mixed}, 0.1},
		{loadCommand{Shape: traffic.Mixed, Invalid: &none}, 0},
		{loadCommand{Shape: traffic.Mixed, Invalid: &some}, 0.2},
	} {
		if got := test.c.invalid(); got != test.want {
			t.Errorf("%+v: %v, want %v", test.c, got, test.want)
		}
	}
}

func TestResolveTarget(t *testing.T) {
	for target, want := range map[string]string{
		"127.0.0.1:1":         "127.0.0.1:1",
		"[::1]:65535":         "[::1]:65535",
		"[::ffff:10.0.0.1]:2": "10.0.0.1:2",
		"localhost:9999":      "127.0.0.1:9999",
	} {
		if got, err := resolveTarget(t.Context(), target); err != nil || got.String() != want {
			t.Errorf("%s: %v %v", target, got, err)
		}
	}
	if got := runBinary(t, nil, "load", "--target=no..such..name:1"); got.code != 1 || got.stdout != "" ||
		!strings.HasPrefix(got.stderr, "state-gateway: --target=no..such..name:1: ") {
		t.Errorf("%+v", got)
	}
}

// figures returns the figures of load's report by their names.
func figures(t *testing.T, out string) map[string]int {
	t.Helper()
	f := map[string]int{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z_]+) +([0-9]+)\b`).FindAllStringSubmatch(out, -1) {
		n, err := strconv.Atoi(match[2])
		if err != nil {
			t.Fatal(err)
		}
		f[match[1]] = n
	}
	return f
}

const allAccounted = `unaccounted for:
  sent − received − kernel_dropped = 0
  received − applied − duplicate − out_of_order − rejected = 0
  applied − logged − log_dropped − log_queued = 0
`

// checkFigures holds a report to its own sums and to the gateway's counters, which nothing else has touched since they
// were before.
func checkFigures(t *testing.T, f map[string]int, p *process, before stats) {
	t.Helper()
	var s stats
	p.get(t, "/stats", &s)
	if f["sent"] != f["received"]+f["kernel_dropped"] || f["received"] != f["applied"]+f["rejected"] || f["applied"] != f["logged"]+f["log_dropped"] ||
		f["duplicate"]+f["out_of_order"]+f["log_queued"]+f["errors"] != 0 || f["kernel_dropped"] == 0 && f["rejected"] != f["invalid"] {
		t.Errorf("figures %v", f)
	}
	if uint64(f["received"]) != s.TotalReceived-before.TotalReceived || uint64(f["kernel_dropped"]) != s.KernelDropped-before.KernelDropped ||
		uint64(f["rejected"]) != s.InvalidStates-before.InvalidStates || uint64(f["applied"]) != s.Applied-before.Applied ||
		uint64(f["logged"]) != s.Logged-before.Logged || uint64(f["log_dropped"]) != s.LogDropped-before.LogDropped {
		t.Errorf("figures %v, stats %+v after %+v", f, s, before)
	}
}

func TestLoad(t *testing.T) {
	for _, test := range []struct {
		name, args string
		check      func(f map[string]int) bool
	}{
		{"usual", "--rate=5000", func(f map[string]int) bool {
			return f["sent"] >= 4000 && f["rate"] >= 4000 && f["rate"] <= 5000 && f["invalid"] == 0
		}},
		{"mixed", "--rate=5000 --shape=mixed --invalid=20 --senders=2", func(f map[string]int) bool {
			return f["sent"] >= 4000 && f["rate"] <= 5000 && f["invalid"]*100 > f["sent"]*15 && f["invalid"]*100 < f["sent"]*25
		}},
		{"max with gso", "--rate=max --gso", func(f map[string]int) bool { return f["sent"] >= 20_000 && f["received"] > 0 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.Contains(test.args, "--gso") && runtime.GOOS != "linux" {
				t.Skip("UDP segmentation offload is Linux's")
			}
			p := startGateway(t)
			p.send(t, guideDatagram) // what was before does not count
			p.send(t, "no state")
			before := p.awaitAccounted(t, 2)
			args := append([]string{"load", "--for=1s", "--target=" + p.udp.String(), "--gateway=" + p.url}, strings.Fields(test.args)...)
			got := runBinary(t, nil, args...)
			if got.code != 0 || got.stderr != "" || !strings.HasSuffix(got.stdout, allAccounted) {
				t.Fatalf("%+v", got)
			}
			f := figures(t, got.stdout)
			checkFigures(t, f, p, before)
			if !test.check(f) {
				t.Errorf("figures %v", f)
			}
			t.Logf("\n%s", got.stdout)
		})
	}
}

func TestLoadWithLogOff(t *testing.T) {
	p := startGateway(t, "ENABLE_LOG=no")
	got := runBinary(t, nil, "load", "--for=100ms", "--rate=1000", "--target="+p.udp.String(), "--gateway="+p.url)
	if f := figures(t, got.stdout); got.code != 0 || f["applied"] == 0 || f["logged"] != 0 || !strings.HasSuffix(got.stdout, "log is off\n") {
		t.Errorf("%+v", got)
	}
}

// More engines than the gateway holds: valid datagrams are rejected, which the report does not let pass.
func TestLoadBeyondEngineLimit(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "MAX_ENGINES=1")
	got := runBinary(t, nil, "load", "--for=100ms", "--rate=1000", "--engines=2", "--target="+p.udp.String(), "--gateway="+p.url)
	f := figures(t, got.stdout)
	want := fmt.Sprintf("state-gateway: rejected %d, but 0 were made invalid: engine_limit %[1]d\n", f["rejected"])
	if got.code != 1 || f["rejected"] == 0 || f["rejected"] != f["sent"]/2 || got.stderr != want {
		t.Errorf("%+v\nwant %s", got, want)
	}
}

// sink is a socket that nobody reads.
func sink(t *testing.T) (address string) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// Datagrams that a gateway does not know of: they vanished on the way.
func TestLoadVanishes(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		up := strconv.FormatFloat(100+time.Since(begin).Seconds(), 'f', 3, 64)
		fmt.Fprint(w, strings.Replace(statsText, "1.25", up, 1))
	}))
	defer server.Close()
	got := runBinary(t, nil, "load", "--for=100ms", "--rate=1000", "--target="+sink(t), "--gateway="+server.URL)
	f := figures(t, got.stdout)
	want := fmt.Sprintf("state-gateway: unaccounted for: sent − received − kernel_dropped = %d, not 0\n", f["sent"])
	if got.code != 1 || f["sent"] == 0 || f["received"] != 0 || got.stderr != want {
		t.Errorf("%+v\nwant %s", got, want)
	}
}

func TestLoadOfRestartedGateway(t *testing.T) {
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answers++; answers == 1 {
			fmt.Fprint(w, statsText)
			return
		}
		fmt.Fprint(w, strings.Replace(statsText, "9", "8", 1))
	}))
	defer server.Close()
	got := runBinary(t, nil, "load", "--for=100ms", "--target="+sink(t), "--gateway="+server.URL)
	if want := "state-gateway: the gateway was restarted meanwhile: its total_received went back from 9 to 8\n"; got.code != 1 || got.stderr != want ||
		figures(t, got.stdout)["sent"] == 0 {
		t.Errorf("%+v\nwant %s", got, want)
	}
}

func TestLoadWithoutGateway(t *testing.T) {
	got := runBinary(t, nil, "load", "--for=100ms", "--rate=1000", "--shape=compact", "--target="+sink(t))
	if f := figures(t, got.stdout); got.code != 0 || got.stderr != "" || f["sent"] == 0 || strings.Contains(got.stdout, "received") {
		t.Errorf("%+v", got)
	}

	closed, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	got = runBinary(t, nil, "load", "--for=100ms", "--rate=1000", "--target="+closed.LocalAddr().String())
	f := figures(t, got.stdout)
	want := fmt.Sprintf("state-gateway: %d sends were refused: for some time nobody listened at %v\n", f["errors"], closed.LocalAddr())
	if got.code != 1 || f["errors"] == 0 || got.stderr != want {
		t.Errorf("nobody at the target: %+v\nwant %s", got, want)
	}

	got = runBinary(t, nil, "load", "--for=100ms", "--target="+sink(t), "--gateway=http://"+closed.LocalAddr().String())
	if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "cannot be read") {
		t.Errorf("nobody at the gateway's address: %+v", got)
	}
}

// A first interrupt ends the load, with the whole report.
func TestLoadInterrupted(t *testing.T) {
	p := startGateway(t)
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(binary, "load", "--for=0s", "--rate=1000", "--target="+p.udp.String(), "--gateway="+p.url)
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{}, &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.awaitStats(t, "something received", func(s stats) bool { return s.TotalReceived > 0 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 || !strings.HasSuffix(stdout.String(), allAccounted) {
		t.Errorf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	checkFigures(t, figures(t, stdout.String()), p, stats{})
}
