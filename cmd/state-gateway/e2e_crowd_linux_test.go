package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
)

// descriptors asks for so many descriptors for this process, and those that it starts.
func descriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur, limit.Max = n, max(limit.Max, n)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		needs.Skip(t, "so many descriptors are not to be had: "+err.Error())
	}
}

// strangers keeps so many connections open that do what meet does, and opens another for each that ends, until stop is called.
func strangers(t *testing.T, address string, n int, meet func(net.Conn) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var dialed sync.WaitGroup
	for range n {
		dialed.Add(1)
		group.Go(func() {
			once := sync.OnceFunc(dialed.Done)
			defer once()
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
				once()
				if err != nil {
					continue
				}
				end := context.AfterFunc(ctx, func() { conn.Close() })
				for meet(conn) == nil {
				}
				end()
				conn.Close()
				select {
				case <-ctx.Done():
				case <-time.After(500 * time.Millisecond):
				}
			}
		})
	}
	dialed.Wait()
	return func() {
		cancel()
		group.Wait()
	}
}

// Whatever crowd holds the HTTP address's connections without asking anything, probes are answered, there and at the
// health address; and what happened is counted, and said once.
func TestStrangersDoNotStarveProbes(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	descriptors(t, 8192)
	p := startGateway(t, "ENABLE_LOG=no", "HEALTH_ADDRESS=127.0.0.1:0")
	address := strings.TrimPrefix(p.url, "http://")
	for _, crowd := range []struct {
		name string
		size int
		meet func(net.Conn) error
	}{
		{"silent", 3000, func(conn net.Conn) error {
			_, err := conn.Read(make([]byte, 1))
			return err
		}},
		{"slow headers", 1500, func(conn net.Conn) error { // a letter of a method without end
			_, err := conn.Write([]byte("G"))
			time.Sleep(500 * time.Millisecond)
			return err
		}},
	} {
		t.Run(crowd.name, func(t *testing.T) {
			stop := strangers(t, address, crowd.size, crowd.meet)
			defer stop()
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for _, url := range []string{p.url, p.health} {
				slowest := time.Duration(0)
				for range 5 {
					begin := time.Now()
					answer, err := client.Get(url + "/livez")
					if err != nil {
						t.Fatal(err)
					}
					answer.Body.Close()
					if answer.StatusCode != http.StatusOK {
						t.Errorf("%s: %s", url, answer.Status)
					}
					slowest = max(slowest, time.Since(begin))
				}
				t.Logf("%s: the slowest of five answers took %v", url, slowest)
				if slowest > time.Second && !raceEnabled {
					t.Errorf("%s: an answer took %v", url, slowest)
				}
			}
		})
	}
	if p.figure(t, `http_connections_total{listener="http",result="evicted"}`) == 0 {
		t.Error("no connection is counted as evicted")
	}
	if n := strings.Count(p.said(), "HTTP connections are closed"); n == 0 || n > 2 {
		t.Errorf("said %d times that connections are closed", n)
	}
	answer, err := http.Get(p.health + "/v1/engines")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("/v1/engines at the health address: %s", answer.Status)
	}
	awaitReady(t, p.health)
	got := runBinary(t, env("HEALTH_ADDRESS="+strings.TrimPrefix(p.health, "http://"), "HTTP_ADDRESS=127.0.0.1:1"), "healthcheck", "--timeout=10s")
	if got.code != 0 {
		t.Errorf("healthcheck at the health address: %+v", got)
	}
}

// awaitReady waits until the gateway at a URL says that it is ready.
func awaitReady(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get(url + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not ready: %s", answer.Status)
		}
	}
}

// 500 pollers of all that is known of 10,000 engines do not end a gateway in 256 MiB, and take nothing from the engines.
// STATE_SOAK may be how long they poll.
func TestPollersInSmallContainer(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	if raceEnabled {
		t.Skip("the race detector multiplies the memory that is limited here")
	}
	const pollers, engines = 500, 10_000
	shell := needs.Command(t, "sh")
	descriptors(t, 4096)
	dir := memoryCgroup(t, 256<<20)
	inside := exec.Command(shell, "-c", `echo $$ >"$1" && exec "$0"`, binary, filepath.Join(dir, "cgroup.procs"))
	p := startCommand(t, inside, "LOG_FILE="+os.DevNull)
	pid := p.cmd.Process.Pid
	length := soak(time.Minute, 10*time.Second)
	if d, err := time.ParseDuration(os.Getenv("STATE_SOAK")); err == nil {
		length = d
	}
	load, err := traffic.NewLoad(traffic.LoadConfig{Target: p.udp, Engines: engines, Senders: 1, Rate: 5000, Shape: traffic.Usual})
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- load.Run(ctx) }()
	p.awaitStats(t, "all engines", func(s stats) bool { return s.TotalEngines == engines })

	var group sync.WaitGroup
	var answered, refused, failed atomic.Int64
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: pollers}}
	defer client.CloseIdleConnections()
	paths := []string{"/v1/engines", "/v1/engine-states"}
	for i := range pollers {
		group.Go(func() {
			for ctx.Err() == nil {
				answer, err := client.Get(p.url + paths[i%len(paths)])
				if err != nil {
					failed.Add(1)
				} else {
					if i%50 == 0 { // a slow one
						time.Sleep(300 * time.Millisecond)
					}
					_, err = io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					switch {
					case err != nil:
						failed.Add(1) // cut off
					case answer.StatusCode == http.StatusOK:
						answered.Add(1)
					case answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != "":
						refused.Add(1)
					default:
						t.Errorf("%s", answer.Status)
					}
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	most := 0
	for ctx.Err() == nil {
		select {
		case <-p.exited:
			t.Fatalf("the gateway has ended: %v; %s", p.cmd.ProcessState, p.said())
		case <-time.After(100 * time.Millisecond):
			most = max(most, rss(t, pid))
		}
	}
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	group.Wait()
	s := p.awaitAccounted(t, load.Sent())
	t.Logf("%v: resident memory at most %d MiB; %d answered, %d refused, %d cut off; %d states sent, %d applied, %d dropped by the kernel",
		length, most>>20, answered.Load(), refused.Load(), failed.Load(), load.Sent(), s.Applied, s.KernelDropped)
	if answered.Load() == 0 || s.KernelDropped != 0 {
		t.Errorf("%d answered, %d states dropped by the kernel", answered.Load(), s.KernelDropped)
	}
	if most > 240<<20 {
		t.Errorf("resident memory was %d MiB", most>>20)
	}
}
