package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
)

// askHTTP opens a connection from one of the loopback addresses to the gateway and asks for a path on it. With a small receive buffer, in bytes, it stalls
// soon when it is not read; 0 leaves it to the system. It may run on any goroutine.
func (p *process) askHTTP(from, path string, buffer int) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	if buffer > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) { // before the window is agreed on
			failed := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer) })
			return errors.Join(failed, err)
		}
	}
	conn, err := d.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: gateway\r\n\r\n", path); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// dialHTTP is askHTTP for the test's own goroutine. The test's end closes the connection.
func (p *process) dialHTTP(t *testing.T, path string, buffer int) net.Conn {
	t.Helper()
	conn, err := p.askHTTP("127.0.0.1", path, buffer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// figure returns the value of one of the gateway's series.
func (p *process) figure(t *testing.T, series string) float64 {
	t.Helper()
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "elrar_gateway_"+series+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no series %s", series)
	return 0
}

// loadFor sends the states of 1,000 engines, each five times a second, until ctx ends.
func (p *process) loadFor(t *testing.T, ctx context.Context) (sent func() uint64) {
	t.Helper()
	load, err := traffic.NewLoad(traffic.LoadConfig{Target: p.udp, Engines: 1000, Senders: 4, Rate: 5000, Shape: traffic.Usual})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	return func() uint64 {
		t.Helper()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		load.Close()
		return load.Sent()
	}
}

// readWatch reads a stream until its end or ctx's, and returns how many of each event came and the last one's data.
func readWatch(ctx context.Context, conn net.Conn) (events map[string]int, last string, err error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	events = map[string]int{}
	lines := bufio.NewReaderSize(conn, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return events, last, err
		}
		if name, ok := strings.CutPrefix(string(line[:min(20, len(line))]), "event: "); ok {
			events[strings.TrimSpace(name)]++
		} else if strings.HasPrefix(string(line[:min(20, len(line))]), "data: ") {
			last = strings.TrimSpace(string(line))
		}
	}
}

// 50 watchers, ten of which take nothing, beside the load of 1,000 engines: the ingest loses nothing, memory is flat, the
// ten are cut off and the forty are not.
func TestWatchersUnderLoad(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	p := startGateway(t)
	const reading, stalled = 40, 10
	ctx, cancel := context.WithTimeout(t.Context(), soak(20*time.Second, 8*time.Second))
	defer cancel()
	sent := p.loadFor(t, ctx)
	p.awaitStats(t, "all engines", func(s stats) bool { return s.TotalEngines == 1000 })

	type outcome struct {
		events map[string]int
		last   string
		err    error
	}
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	outcomes := make(chan outcome, reading)
	for range reading {
		conn := p.dialHTTP(t, "/v1/watch", 0)
		go func() {
			var o outcome
			o.events, o.last, o.err = readWatch(watching, conn)
			outcomes <- o
		}()
	}
	var lazy []net.Conn
	for range stalled {
		lazy = append(lazy, p.dialHTTP(t, "/v1/watch?fields=engines", 4096))
	}
	var samples []int
	for tick := time.NewTicker(500 * time.Millisecond); ctx.Err() == nil; {
		<-tick.C
		samples = append(samples, rss(t, p.cmd.Process.Pid))
	}
	s := p.awaitAccounted(t, sent())
	for deadline := time.Now().Add(20 * time.Second); p.figure(t, "watchers_evicted_total") < stalled && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond) // a loaded machine takes its time to fill the buffers
	}
	if evicted, left := p.figure(t, "watchers_evicted_total"), p.figure(t, "watchers"); evicted != stalled || left != reading {
		t.Errorf("%v watchers cut off, want %d; %v left, want %d", evicted, stalled, left, reading)
	}
	half := len(samples) / 2
	before, after := slices.Max(samples[:half]), slices.Max(samples[half:])
	t.Logf("%d received, %d dropped by the kernel; resident memory at most %d MiB, then %d MiB", s.TotalReceived, s.KernelDropped, before>>20, after>>20)
	if float64(after) > 1.25*float64(before) && !raceEnabled {
		t.Errorf("resident memory is not flat: %v", samples)
	}
	if code, took := p.stop(t, syscall.SIGTERM); code != 0 || took > 20*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	for range reading {
		o := <-outcomes
		if o.err != io.EOF || o.events["end"] != 1 || o.events["snapshot"] == 0 || o.events["bookmark"] < 4 || o.events["update"] < 40 ||
			o.last != `data: {"reason": "stopping", "detail": "the gateway is stopping"}` {
			t.Errorf("%v, %s, %v", o.events, o.last, o.err)
		}
	}
	for _, conn := range lazy {
		conn.Close()
	}
}

// 1,000 clients that ask for what is large and do not read it: the ingest loses nothing, memory is bounded, probes are
// answered, and they are cut off.
func TestThousandStalledReaders(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	p := startGateway(t)
	readers := 1000
	if raceEnabled {
		readers = 160 // rendering what they ask for takes its time
	}
	ctx, cancel := context.WithTimeout(t.Context(), soak(12*time.Second, 6*time.Second))
	defer cancel()
	sent := p.loadFor(t, ctx)
	p.awaitStats(t, "all engines", func(s stats) bool { return s.TotalEngines == 1000 })
	before := rss(t, p.cmd.Process.Pid)
	var dialling errgroup.Group
	conns := make(chan net.Conn, readers)
	for i := range 8 {
		dialling.Go(func() error {
			from := fmt.Sprintf("127.0.0.%d", 2+i) // not the probe's address, whose share of the connections is bounded
			for range readers / 8 {
				conn, err := p.askHTTP(from, "/v1/engines", 4096)
				if err != nil {
					return err
				}
				conns <- conn
			}
			return nil
		})
	}
	most, probes := 0, 0
	for ctx.Err() == nil {
		var live struct{ Status string }
		if p.get(t, "/livez", &live); live.Status == "live" {
			probes++
		}
		most = max(most, rss(t, p.cmd.Process.Pid))
		time.Sleep(50 * time.Millisecond)
	}
	if err := dialling.Wait(); err != nil {
		t.Error(err)
	}
	close(conns)
	defer func() {
		for conn := range conns {
			conn.Close()
		}
	}()
	s := p.awaitAccounted(t, sent())
	t.Logf("%d received, %d dropped by the kernel; resident memory %d MiB, at most %d MiB with the readers; %d probes answered",
		s.TotalReceived, s.KernelDropped, before>>20, most>>20, probes)
	if most > before+160<<20 && !raceEnabled {
		t.Errorf("resident memory went from %d to %d MiB", before>>20, most>>20)
	}
	if os.Getenv("STATE_SOAK") == "" {
		return // the last of them go with the write timeout, after 30 s
	}
	ended := func() float64 { // a few may have been connections too many
		return p.figure(t, `http_request_duration_seconds_count{handler="engines"}`) +
			p.figure(t, `http_connections_total{listener="http",result="evicted"}`) +
			p.figure(t, `http_connections_total{listener="http",result="refused"}`)
	}
	for deadline := time.Now().Add(time.Minute); ended() < float64(readers); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v of %d readers have been cut off or refused", ended(), readers)
		}
	}
}

// With every file descriptor taken by clients, states are received and logged, over a renaming of the log, too; and when
// the clients have gone, everything works again.
func TestDescriptorsExhausted(t *testing.T) {
	shell := needs.Command(t, "sh")
	const descriptors = 48
	p := startCommand(t, exec.Command(shell, "-c", fmt.Sprintf(`ulimit -n %d && exec "$0"`, descriptors), binary))
	conn := p.dial(t)
	var n atomic.Int64
	send := func(states int) {
		t.Helper()
		for range states {
			state := fmt.Sprintf(`{"engine_id": "a", "timestamp_ms": %d, "latency_pred_ms": 1.5, "scheduling_mode": "balanced", "pending_tokens_total": 1, "kv_cache_free_blocks": 2, "kv_cache_total_blocks": 3, "engine_capacity": 4.5}`, n.Add(1))
			if _, err := conn.Write([]byte(state)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var s stats
	p.get(t, "/stats", &s) // this client keeps its connection, which the end of an httptest.Server would close: no test runs beside
	var crowd []net.Conn
	for range 2 * descriptors {
		crowd = append(crowd, p.dialHTTP(t, "/livez", 0))
	}
	awaitMessage(t, p, "too many open files")
	send(100)
	p.awaitStats(t, "states received and logged", func(s stats) bool { return s.Applied == 100 && s.Logged == 100 })
	if err := os.Rename(p.logFile, p.logFile+".1"); err != nil {
		t.Fatal(err)
	}
	send(100)
	s = p.awaitStats(t, "states received and logged after a renaming", func(s stats) bool { return s.Applied == 200 && s.Logged+s.LogDropped == 200 })
	if s.LogDropped != 0 {
		t.Errorf("%d lines dropped", s.LogDropped)
	}
	for _, c := range crowd {
		c.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		send(1)
		if _, err := os.Stat(p.logFile); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no new log: %s", p.said())
		}
	}
	p.dialHTTP(t, "/livez", 0)
	s = p.awaitAccounted(t, uint64(n.Load()))
	old, err := os.ReadFile(p.logFile + ".1")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(old), "\n") + len(p.readLog(t)); lines != int(n.Load()) || s.Logged != uint64(n.Load()) {
		t.Errorf("%d lines of %d states, %d logged", lines, n.Load(), s.Logged)
	}
	if lines := strings.Count(p.said(), "\n"); lines > 60 {
		t.Errorf("%d messages", lines)
	}
}

// awaitMessage waits until the gateway says something.
func awaitMessage(t *testing.T, p *process, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.said(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never said %q: %s", text, p.said())
		}
	}
}
