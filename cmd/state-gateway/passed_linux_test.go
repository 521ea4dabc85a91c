package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/internal/mmsg"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/state"
)

// holder is what a service manager is to the gateway: it keeps sockets, and passes them to one process after the other.
type holder struct {
	udp  []*net.UDPConn
	http *net.TCPListener
}

// newHolder binds UDP sockets that share a port, and a listener.
func newHolder(t *testing.T, sockets int) *holder {
	t.Helper()
	needs.Command(t, "sh") // for passing
	h := &holder{}
	address := "127.0.0.1:0"
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { mmsg.SetReusePort(int(fd)) })
	}}
	for range sockets {
		c, err := lc.ListenPacket(t.Context(), "udp4", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		h.udp = append(h.udp, c.(*net.UDPConn))
		// The streams of the tests send 1,000 datagrams/s: 4 MiB hold 13 s of them, longer than any start takes.
		if granted, err := mmsg.SetReceiveBuffer(c.(*net.UDPConn), 4<<20); err != nil || granted < 4<<20 {
			needs.Skip(t, fmt.Sprintf("a receive buffer of 4 MiB is not to be had, but %d: %v", granted, err))
		}
		address = c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h.http = l.(*net.TCPListener)
	return h
}

// passing returns a command that becomes the program with these files as its passed sockets.
func passing(t *testing.T, files ...interface{ File() (*os.File, error) }) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, binary) // what it is in systemd: the pid of the program itself
	cmd.Env = []string{"LISTEN_FDS=" + strconv.Itoa(len(files))}
	for _, c := range files {
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

func (h *holder) start(t *testing.T, settings ...string) *process {
	t.Helper()
	files := []interface{ File() (*os.File, error) }{h.http}
	for _, c := range h.udp {
		files = append(files, c)
	}
	return startCommand(t, passing(t, files...), settings...)
}

// streams sends the numbered states of some engines, each from a socket of its own, until ctx is done. Engine i's
// timestamps are 1, 2, 3, …
func (h *holder) streams(t *testing.T, ctx context.Context, from []int64) {
	var all sync.WaitGroup
	for i := range from {
		c, err := net.DialUDP("udp", nil, h.udp[0].LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		all.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C { // the pace of the load
				s := state.State{EngineID: fmt.Sprint(i), TimestampMs: from[i] + 1, LatencyPredMs: 1.5, SchedulingMode: "balanced",
					KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1, EngineCapacity: 1000}
				if _, err := c.Write(s.AppendJSON(nil)); err != nil {
					t.Error(err)
					return
				}
				from[i]++
			}
		})
	}
	all.Wait()
}

// lastFigures are what a gateway says at its end.
type lastFigures struct {
	Msg           string
	Received      uint64
	Applied       uint64
	Logged        uint64
	KernelDropped uint64 `json:"kernel_dropped"`
}

func (p *process) finalFigures(t *testing.T) (f lastFigures) {
	t.Helper()
	for line := range strings.Lines(p.said()) {
		if json.Unmarshal([]byte(line), &f) == nil && f.Msg == "final figures" {
			return f
		}
	}
	t.Fatalf("no final figures: %s", p.said())
	return f
}

// loggedTimestamps returns the timestamps of each engine in a state log, in its order.
func loggedTimestamps(t *testing.T, path string) map[string][]int64 {
	t.Helper()
	lines := (&process{logFile: path}).readLog(t)
	all := map[string][]int64{}
	for _, l := range lines {
		var s wireState
		if err := json.Unmarshal(l.State, &s); err != nil {
			t.Fatal(err)
		}
		all[s.EngineID] = append(all[s.EngineID], s.TimestampMs)
	}
	return all
}

// Restarted on sockets that somebody else keeps, gateways together receive, apply and log everything that is sent
// meanwhile: what arrives while none runs waits in the sockets.
func TestPassedSocketsLoseNothing(t *testing.T) {
	h := newHolder(t, 2)
	t.Parallel()
	log := filepath.Join(t.TempDir(), "engine_states.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make([]int64, 20)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.streams(t, ctx, sent)
	}()
	var received, applied, logged uint64
	var last *process
	for range 3 {
		p := h.start(t, "LOG_FILE="+log)
		if want := h.udp[0].LocalAddr().(*net.UDPAddr).Port; int(p.udp.Port()) != want || p.url != "http://"+h.http.Addr().String() {
			t.Fatalf("it serves at %v and %s: %s", p.udp, p.url, p.said())
		}
		p.awaitStats(t, "a load", func(s stats) bool { return s.Applied >= 500 })
		if last != nil {
			f := last.finalFigures(t)
			received, applied, logged = received+f.Received, applied+f.Applied, logged+f.Logged
			if f.KernelDropped != 0 {
				t.Errorf("dropped by the kernel: %+v", f)
			}
		}
		last = p
		if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d: %s", code, p.said())
		}
	}
	f := last.finalFigures(t)
	received, applied, logged = received+f.Received, applied+f.Applied, logged+f.Logged

	p := h.start(t, "LOG_FILE="+log)
	cancel()
	<-done
	var total uint64
	for _, n := range sent {
		total += uint64(n)
	}
	s := p.awaitStats(t, "the rest", func(s stats) bool { return received+s.TotalReceived+s.KernelDropped >= total && s.LogQueued == 0 })
	received, applied, logged = received+s.TotalReceived, applied+s.Applied, logged+s.Logged
	if received != total || applied != total || logged != total || s.KernelDropped != 0 {
		t.Errorf("sent %d; received %d, applied %d, logged %d, dropped by the kernel %d", total, received, applied, logged, s.KernelDropped)
	}
	for id, timestamps := range loggedTimestamps(t, log) {
		for i, ts := range timestamps {
			if ts != int64(i)+1 {
				t.Fatalf("engine %s: line %d is state %d", id, i+1, ts)
			}
		}
	}
	t.Logf("sent %d over three restarts: received %d, applied %d, logged %d", total, received, applied, logged)
}

// After kill -9 what the killed process had read and not yet written to the log is missing, and nothing else: a single
// gap in each engine's states, before which and after which every one is there.
func TestPassedSocketsSurviveKill(t *testing.T) {
	h := newHolder(t, 2)
	t.Parallel()
	log := filepath.Join(t.TempDir(), "engine_states.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make([]int64, 20)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.streams(t, ctx, sent)
	}()
	p := h.start(t, "LOG_FILE="+log)
	p.awaitStats(t, "a load", func(s stats) bool { return s.Logged >= 500 })
	p.stop(t, os.Kill)
	p = h.start(t, "LOG_FILE="+log)
	p.awaitStats(t, "a load", func(s stats) bool { return s.Logged >= 500 })
	cancel()
	<-done
	missing := int64(0)
	p.awaitStats(t, "the newest of each engine", func(s stats) bool {
		var states map[string]wireState
		p.get(t, "/v1/engine-states", &states)
		for i, n := range sent {
			if states[fmt.Sprint(i)].TimestampMs != n {
				return false
			}
		}
		return s.LogQueued == 0
	})
	for id, timestamps := range loggedTimestamps(t, log) {
		gaps := 0
		for i, ts := range timestamps {
			before := int64(0)
			if i > 0 {
				before = timestamps[i-1]
			}
			if ts != before+1 {
				gaps++
				missing += ts - before - 1
			}
			if ts <= before || gaps > 1 {
				t.Fatalf("engine %s: state %d after %d, gap %d", id, ts, before, gaps)
			}
		}
	}
	if s := p.awaitStats(t, "drops", func(stats) bool { return true }); s.KernelDropped != 0 {
		t.Errorf("dropped by the kernel: %d", s.KernelDropped)
	}
	t.Logf("missing after kill -9, of all engines together: %d", missing)
}

// What the environment says and the sockets do otherwise is warned of, and /stats has what is so.
func TestPassedSocketsAreTheSettings(t *testing.T) {
	h := newHolder(t, 3)
	p := h.start(t, "WORKERS=2", "BIND_ADDRESS=0.0.0.0", "UDP_PORT=1", "HTTP_ADDRESS=:1")
	var s struct {
		BindAddress string `json:"bind_address"`
		UDPPort     int    `json:"udp_port"`
	}
	p.get(t, "/stats", &s)
	if s.BindAddress != "127.0.0.1" || s.UDPPort != h.udp[0].LocalAddr().(*net.UDPAddr).Port {
		t.Errorf("/stats: %+v", s)
	}
	for _, setting := range []string{"WORKERS (--workers): 2", "BIND_ADDRESS (--bind-address): 0.0.0.0", "UDP_PORT (--udp-port): 1", "HTTP_ADDRESS (--http-address): :1"} {
		if n := strings.Count(p.said(), `"level":"WARN","msg":"VLLM_STATE_GATEWAY_`+setting+` has no effect with the sockets that were passed`); n != 1 {
			t.Errorf("%d warnings about %s: %s", n, setting, p.said())
		}
	}
	if !strings.Contains(p.said(), `"sockets":3`) {
		t.Errorf("%s", p.said())
	}
}

func TestPassedSocketsOfAnotherProcess(t *testing.T) {
	h := newHolder(t, 1)
	cmd := passing(t, h.udp[0])
	cmd.Args[2] = `LISTEN_PID=1 exec "$0"`
	p := startCommand(t, cmd)
	if p.udp.Port() == uint16(h.udp[0].LocalAddr().(*net.UDPAddr).Port) || !strings.Contains(p.said(), "LISTEN_PID=1") {
		t.Errorf("%s", p.said())
	}
}

// file lets a test pass any file.
type file struct{ f *os.File }

func (f file) File() (*os.File, error) { return f.f, nil }

func TestPassedSocketsOfAWrongKind(t *testing.T) {
	h := newHolder(t, 2)
	socket := func(domain, kind int) file {
		fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return file{os.NewFile(uintptr(fd), "socket")}
	}
	regular, err := os.Open("passed.go")
	if err != nil {
		t.Fatal(err)
	}
	unixListener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer unixListener.Close()
	connected, err := net.DialUDP("udp", nil, h.udp[0].LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	tcp, err := net.Dial("tcp", h.http.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	type files = []interface{ File() (*os.File, error) }
	for _, test := range []struct {
		name    string
		files   files
		setting string
		want    string
	}{
		{"unbound", files{socket(unix.AF_INET, unix.SOCK_DGRAM)}, "", "passed socket 3 (LISTEN_FD_3): a UDP socket that is not bound to a port"},
		{"connected", files{connected}, "", "hears 127.0.0.1:"},
		{"unix datagrams", files{socket(unix.AF_UNIX, unix.SOCK_DGRAM)}, "", "a unixgram socket; pass UDP sockets"},
		{"unix stream", files{unixListener}, "", "a unix socket; pass UDP sockets"},
		{"TCP that does not listen", files{socket(unix.AF_INET, unix.SOCK_STREAM)}, "", "a TCP socket that does not listen"},
		{"TCP connection", files{tcp.(*net.TCPConn)}, "", "a TCP socket that does not listen"},
		{"a file", files{h.udp[0], file{regular}}, "", "passed socket 4 (LISTEN_FD_4): neither a UDP socket nor a TCP listener"},
		{"two listeners", files{h.http, h.http}, "", "a second TCP listener"},
		{"broadcast", files{h.udp[0], h.udp[1]}, "NETWORK_MODE=broadcast", "VLLM_STATE_GATEWAY_NETWORK_MODE=broadcast: 2 UDP sockets were passed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := passing(t, test.files...)
			cmd.Env = append(cmd.Env, env("ENABLE_LOG=no", "HTTP_ADDRESS=127.0.0.1:0", test.setting)...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
			defer timer.Stop()
			cmd.Run()
			if cmd.ProcessState.ExitCode() != 78 || !strings.Contains(stderr.String(), test.want) || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), stderr.String())
			}
		})
	}
}

// In broadcast mode a passed socket tells broadcast from unicast as an own one does, one of both families too.
func TestPassedSocketInBroadcastMode(t *testing.T) {
	needs.Command(t, "sh")
	for _, network := range []string{"udp4", "udp"} {
		t.Run(network, func(t *testing.T) {
			c, err := net.ListenUDP(network, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			p := startCommand(t, passing(t, c), "NETWORK_MODE=broadcast")
			for _, to := range []string{"127.255.255.255", "127.0.0.1", "127.0.0.1"} {
				sender, err := net.ListenUDP("udp4", nil) // which Go lets broadcast
				if err != nil {
					t.Fatal(err)
				}
				defer sender.Close()
				target := netip.AddrPortFrom(netip.MustParseAddr(to), p.udp.Port())
				if _, err := sender.WriteToUDPAddrPort([]byte(guideDatagram), target); err != nil {
					t.Fatal(err)
				}
			}
			p.awaitAccounted(t, 3)
			var s transports
			if p.get(t, "/stats", &s); s.Broadcast != 1 || s.Unicast != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// manager is the other end of NOTIFY_SOCKET.
type manager struct{ conn *net.UnixConn }

func newManager(t *testing.T) (m manager, address string) {
	t.Helper()
	address = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return manager{conn}, address
}

// await reads until a message has a line that begins so, and returns all its lines.
func (m manager) await(t *testing.T, line string) []string {
	t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var seen []string
	for buf := make([]byte, 4096); ; {
		n, err := m.conn.Read(buf)
		if err != nil {
			t.Fatalf("waiting for %s: %v; came %q", line, err, seen)
		}
		lines := strings.Split(strings.TrimSuffix(string(buf[:n]), "\n"), "\n")
		for _, l := range lines {
			if strings.HasPrefix(l, line) {
				return lines
			}
		}
		seen = append(seen, lines...)
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	m, address := newManager(t)
	cmd := exec.Command(binary)
	cmd.Env = []string{"NOTIFY_SOCKET=" + address, "WATCHDOG_USEC=200000"}
	p := startCommand(t, cmd)
	if got := m.await(t, "READY=1"); len(got) != 2 || !strings.HasPrefix(got[1], "STATUS=receives at ") {
		t.Errorf("%q", got)
	}
	p.send(t, guideDatagram)
	var last atomic.Value
	for range 3 {
		last.Store(m.await(t, "WATCHDOG=1"))
	}
	if got := last.Load().([]string); !strings.HasPrefix(got[0], "STATUS=not ready: ") && !strings.HasPrefix(got[0], "STATUS=ready") {
		t.Errorf("%q", got)
	}
	m.await(t, "STATUS=ready; 1 engines") // at the latest 2.5 s after the start

	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	got := m.await(t, "RELOADING=1")
	if len(got) != 2 || !strings.HasPrefix(got[1], "MONOTONIC_USEC=") {
		t.Fatalf("%q", got)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	if stamp, err := strconv.ParseInt(strings.TrimPrefix(got[1], "MONOTONIC_USEC="), 10, 64); err != nil || stamp <= 0 || stamp > now.Nano()/1000 {
		t.Errorf("%q at %d", got, now.Nano()/1000)
	}
	m.await(t, "READY=1")
	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	if got := m.await(t, "STOPPING=1"); len(got) != 2 || got[1] != "STATUS=stopping: received terminated" {
		t.Errorf("%q", got)
	}
}
