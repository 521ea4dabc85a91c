package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// quotaSlice is how long each case of BenchmarkQuota is measured: a hundred of the quota's periods.
const quotaSlice = 10 * time.Second

// BenchmarkQuota measures the whole program, as a process of its own, within half a processor (a control group's CPU
// quota, as --cpus=0.5 sets it), with one and with two processors for Go: under the rated load of 1,000 engines that
// push every 200 ms; with routers and a scraper that read the whole table besides; and under a flood.
//
// throttled-% is the share of the quota's periods in which the process had to wait for the next one, and throttled-ms/s
// for how long; p50 and p99 are from the send of a state to the answer of /v1/engines that has it.
func BenchmarkQuota(b *testing.B) {
	needs.Root(b)
	binary := filepath.Join(b.TempDir(), "state-gateway")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/elrar/state-gateway/cmd/state-gateway").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v: %s", err, out)
	}
	for _, load := range []struct {
		name    string
		readers int // 20 whole tables a second each
		flood   float64
	}{{"rated", 0, 0}, {"rated+readers", 4, 0}, {"flood", 0, 400_000}} {
		for _, procs := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/procs=%d", load.name, procs), func(b *testing.B) {
				b.ReportMetric(0, "ns/op")
				for range b.N {
					p := startQuotaProcess(b, binary, procs)
					p.measure(b, load.readers, load.flood)
					p.stop(b)
				}
			})
		}
	}
}

// quotaProcess is a gateway in a control group of half a processor.
type quotaProcess struct {
	cmd   *exec.Cmd
	group string
	udp   netip.AddrPort
	url   string
}

func startQuotaProcess(b *testing.B, binary string, procs int) *quotaProcess {
	b.Helper()
	p := &quotaProcess{group: quotaGroup(b)}
	// The shell is in the group before the gateway's runtime looks at it.
	p.cmd = exec.Command("sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$1"`, p.group, binary)
	p.cmd.Env = []string{"VLLM_STATE_GATEWAY_UDP_PORT=0", "VLLM_STATE_GATEWAY_HTTP_ADDRESS=127.0.0.1:0",
		"VLLM_STATE_GATEWAY_LOG_FILE=" + filepath.Join(b.TempDir(), "engine_states.jsonl"), "GOMAXPROCS=" + strconv.Itoa(procs)}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	messages := json.NewDecoder(stderr)
	for {
		var m struct{ Msg, UDP, HTTP string }
		if err := messages.Decode(&m); err != nil {
			b.Fatalf("the gateway's messages: %v", err)
		}
		if m.Msg == "state gateway started" {
			p.udp = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort(m.UDP).Port())
			p.url = "http://" + m.HTTP
			go io.Copy(io.Discard, io.MultiReader(messages.Buffered(), stderr))
			return p
		}
	}
}

// quotaGroup makes a control group with half a processor.
func quotaGroup(b *testing.B) string {
	b.Helper()
	for _, version := range []struct {
		root  string
		files [][2]string
	}{
		{"/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", "50000"}}},
		{"/sys/fs/cgroup", [][2]string{{"cpu.max", "50000 100000"}}},
	} {
		dir := filepath.Join(version.root, fmt.Sprintf("state-gateway-bench-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		b.Cleanup(func() {
			for deadline := time.Now().Add(5 * time.Second); os.Remove(dir) != nil && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond) // until the kernel has let go of the last process
			}
		})
		set := true
		for _, f := range version.files {
			file, err := os.OpenFile(filepath.Join(dir, f[0]), os.O_WRONLY, 0) // not to be created: it is no control group's then
			if err == nil {
				_, err = file.WriteString(f[1])
				file.Close()
			}
			set = set && err == nil
		}
		if set {
			return dir
		}
	}
	needs.Skip(b, "no control group for the processor can be made here")
	return ""
}

func (p *quotaProcess) stop(b *testing.B) {
	b.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		b.Error(err)
	}
	os.Remove(p.group)
}

// quotaReading is what is compared before and after.
type quotaReading struct {
	at                                  time.Time
	cpu                                 time.Duration
	periods, throttled, throttledNs     uint64
	received, kernelDropped, logDropped uint64
}

func (p *quotaProcess) read(b *testing.B) (r quotaReading) {
	b.Helper()
	resp, err := http.Get(p.url + "/stats")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct {
		TotalReceived uint64 `json:"total_received"`
		KernelDropped uint64 `json:"kernel_dropped"`
		LogDropped    uint64 `json:"log_dropped"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		b.Fatal(err)
	}
	r = quotaReading{at: time.Now(), received: s.TotalReceived, kernelDropped: s.KernelDropped, logDropped: s.LogDropped}
	text, err := os.ReadFile(filepath.Join(p.group, "cpu.stat"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch name {
		case "nr_periods":
			r.periods = n
		case "nr_throttled":
			r.throttled = n
		case "throttled_time": // version 1
			r.throttledNs = n
		case "throttled_usec": // version 2
			r.throttledNs = n * 1000
		}
	}
	r.cpu = childCPU(b, p.cmd.Process.Pid)
	return r
}

// childCPU returns the CPU time of another process, in the kernel's hundredths of a second.
func childCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after) // from the third on
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (p *quotaProcess) measure(b *testing.B, readers int, flood float64) {
	b.Helper()
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: p.udp, Engines: 1000, Interval: 200 * time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	defer fleet.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() { fleet.Run(ctx) })
	if flood > 0 {
		sender := startSender(b, traffic.LoadConfig{Target: p.udp, Engines: 1000, Senders: 2, Rate: flood, GSO: true, Shape: traffic.Usual})
		defer sender.stop(b)
	}
	for range readers {
		others.Go(func() {
			for tick := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-tick.C {
				if resp, err := http.Get(p.url + "/v1/engine-states"); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		})
	}
	time.Sleep(time.Second) // every engine has been heard
	before := p.read(b)
	waits := p.probe(b, quotaSlice)
	after := p.read(b)

	seconds := after.at.Sub(before.at).Seconds()
	received, dropped := after.received-before.received, after.kernelDropped-before.kernelDropped
	b.ReportMetric(float64(received)/seconds, "dgram/s")
	b.ReportMetric(float64(dropped), "dropped")
	b.ReportMetric(float64(after.logDropped-before.logDropped), "log-dropped")
	b.ReportMetric(100*(after.cpu-before.cpu).Seconds()/seconds, "cpu-%")
	b.ReportMetric(100*float64(after.throttled-before.throttled)/float64(max(1, after.periods-before.periods)), "throttled-%")
	b.ReportMetric(float64(after.throttledNs-before.throttledNs)/1e6/seconds, "throttled-ms/s")
	slices.Sort(waits)
	for _, q := range []float64{50, 99} {
		b.ReportMetric(float64(waits[int(float64(len(waits)-1)*q/100)].Microseconds())/1000, fmt.Sprintf("p%v-ms", q))
	}
}

// probe sends a state of one engine again and again, and returns how long it was each time until a reader saw it. A
// probe that the kernel dropped is sent again, and its time goes on.
func (p *quotaProcess) probe(b *testing.B, d time.Duration) (waits []time.Duration) {
	b.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.udp))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	seen := func() (timestamp int64) {
		resp, err := http.Get(p.url + "/v1/engines?engine_id=probe")
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct {
			Engines []struct {
				TimestampMs int64 `json:"timestamp_ms"`
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			b.Fatal(err)
		}
		for _, e := range answer.Engines {
			timestamp = e.TimestampMs
		}
		return timestamp
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(15 * time.Millisecond) // a rhythm that is none of the quota's
		s := state.State{EngineID: "probe", TimestampMs: int64(len(waits)) + 1, SchedulingMode: "balanced"}
		for begin := time.Now(); ; {
			if _, err := conn.Write(s.AppendJSON(nil)); err != nil {
				b.Fatal(err)
			}
			if seen() == s.TimestampMs {
				waits = append(waits, time.Since(begin))
				break
			}
		}
	}
	return waits
}
