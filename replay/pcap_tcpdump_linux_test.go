package replay_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/replay"
)

// tcpdump starts the real one, and returns what it captures, read as it comes, once it is listening; and what ends it.
func tcpdump(t *testing.T, arguments ...string) (c *replay.Capture, stop func()) {
	t.Helper()
	needs.Root(t)
	path := needs.Command(t, "tcpdump")
	// In immediate mode each packet takes 256 KiB of the ring, on any interface: its 2 MiB would hold 8, seen twice each.
	cmd := exec.Command(path, append([]string{"-n", "-U", "--immediate-mode", "-B", "65536", "-Z", "root", "-w", "-"}, arguments...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	messages, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(stop)
	var said strings.Builder
	listening := false
	lines := bufio.NewScanner(messages)
	for !listening && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		listening = strings.Contains(lines.Text(), "listening on")
	}
	if !listening {
		needs.Skip(t, "tcpdump cannot capture here: "+said.String())
	}
	go io.Copy(io.Discard, messages)
	if c, err = replay.Open([]string{"-"}, replay.ReadOptions{Stdin: out}); err != nil {
		t.Fatal(err)
	}
	return c, stop
}

// next reads n datagrams of a live capture.
func next(t *testing.T, c *replay.Capture, n int) (datagrams []replay.Datagram) {
	t.Helper()
	for range n {
		d, err := c.Next()
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v, %v", len(datagrams), n, err, c.Breaks())
		}
		d.Payload = bytes.Clone(d.Payload)
		datagrams = append(datagrams, d)
	}
	return datagrams
}

// send sends a datagram and waits for it, so that the next one comes after it whichever processors they meet.
func send(t *testing.T, from, to *net.UDPConn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	to.SetReadDeadline(time.Now().Add(30 * time.Second))
	buffer := make([]byte, 65536)
	for {
		if n, err := to.Read(buffer); err != nil {
			t.Fatal(err)
		} else if string(buffer[:n]) == text {
			return // and not one of those that reach sent
		}
	}
}

// TestTcpdumpLoopback captures what is sent on loopback with the real tcpdump, on that interface and on any, and reads
// each datagram once: as it was sent, and from where to where.
func TestTcpdumpLoopback(t *testing.T) {
	needs.Root(t)
	needs.Command(t, "tcpdump")
	for name, arguments := range map[string][]string{
		"lo":              {"-i", "lo"},
		"lo, nanoseconds": {"-i", "lo", "--time-stamp-precision=nano"},
		"any":             {"-i", "any"},
		"any, cooked v1":  {"-i", "any", "-y", "LINUX_SLL"},
		"any, cooked v2":  {"-i", "any", "-y", "LINUX_SLL2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, address := range []string{"127.0.0.1", "::1"} {
				gateway, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address)})
				if err != nil {
					t.Logf("no %s here: %v", address, err)
					continue
				}
				defer gateway.Close()
				to := gateway.LocalAddr().(*net.UDPAddr).AddrPort()
				c, _ := tcpdump(t, append(slices.Clone(arguments), "udp", "dst", "port", strconv.Itoa(int(to.Port())))...)

				engine, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
				if err != nil {
					t.Fatal(err)
				}
				defer engine.Close()
				began := time.Now().Add(-time.Second)
				sent := []string{payload, "", payload, payload, strings.Repeat("x", 60_000), "last"} // a duplicate is a datagram too
				for _, text := range sent {
					send(t, engine, gateway, text)
				}
				for i, d := range next(t, c, len(sent)) {
					if string(d.Payload) != sent[i] || d.Destination != to || d.Source != engine.LocalAddr().(*net.UDPAddr).AddrPort() {
						t.Errorf("%d: %.80q from %v to %v", i, d.Payload, d.Source, d.Destination)
					}
					if d.Time.Before(began) || d.Time.After(time.Now().Add(time.Second)) {
						t.Errorf("%d: captured at %v", i, d.Time)
					}
				}
				if skips := c.Skips(); len(skips) != 0 {
					t.Errorf("%v", skips)
				}
			}
		})
	}
}

// TestTcpdumpSnapLength: a capture that was cut short says so, for each datagram.
func TestTcpdumpSnapLength(t *testing.T) {
	needs.Root(t)
	needs.Command(t, "tcpdump")
	gateway, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	to := gateway.LocalAddr().(*net.UDPAddr)
	c, _ := tcpdump(t, "-i", "lo", "-s", "60", "udp", "dst", "port", strconv.Itoa(to.Port))
	engine, err := net.DialUDP("udp", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	for _, text := range []string{payload, payload, "short"} {
		send(t, engine, gateway, text)
	}
	if d := next(t, c, 1)[0]; string(d.Payload) != "short" || c.Skips()["truncated"] != 2 {
		t.Errorf("%q, %v", d.Payload, c.Skips())
	}
}

// namespace is a network namespace, which goes when the test ends.
type namespace struct {
	t    *testing.T
	file *os.File
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	needs.Root(t)
	defer leaveNamespace(t, enterNamespace(t))
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		needs.Skip(t, "no network namespace can be made here: "+err.Error())
	}
	return &namespace{t, currentNamespace(t)}
}

// currentNamespace returns the network namespace of this thread.
func currentNamespace(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// enterNamespace keeps the test's goroutine on its thread, which may go to another namespace until leaveNamespace.
func enterNamespace(t *testing.T) (home *os.File) {
	t.Helper()
	runtime.LockOSThread()
	return currentNamespace(t)
}

func leaveNamespace(t *testing.T, home *os.File) {
	t.Helper()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Errorf("the thread stays in another namespace, and ends with the goroutine: %v", err)
		return
	}
	runtime.UnlockOSThread()
}

// do runs f in the namespace, on the test's own goroutine, which f may end.
func (n *namespace) do(f func()) {
	n.t.Helper()
	defer leaveNamespace(n.t, enterNamespace(n.t))
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		n.t.Fatal(err)
	}
	f()
}

// path names the namespace for the ip program.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// ip runs the ip program's commands in the namespace.
func (n *namespace) ip(commands ...string) {
	n.t.Helper()
	path := needs.Command(n.t, "ip")
	for _, command := range commands {
		var out []byte
		var err error
		n.do(func() { out, err = exec.Command(path, strings.Fields(command)...).CombinedOutput() })
		if err != nil {
			needs.Skip(n.t, fmt.Sprintf("ip %s: %v: %s", command, err, out))
		}
	}
}

// listen binds a UDP socket in the namespace; dial connects one.
func (n *namespace) listen(address string) *net.UDPConn {
	n.t.Helper()
	var conn *net.UDPConn
	var err error
	n.do(func() { conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))) })
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return conn
}

func (n *namespace) dial(address string) *net.UDPConn {
	n.t.Helper()
	var conn *net.UDPConn
	var err error
	n.do(func() {
		conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return conn
}

// TestTcpdumpContainers builds what Docker builds, a bridge with two containers, and captures on any interface of the host
// while an engine in one sends to a gateway on the host and to one in the other container. tcpdump sees each packet twice,
// and sees the fragments of a large datagram.
func TestTcpdumpContainers(t *testing.T) {
	needs.Root(t)
	needs.Command(t, "tcpdump")
	host, engine, other := newNamespace(t), newNamespace(t), newNamespace(t)
	host.ip("link set lo up", "link add br0 type bridge", "addr add 10.9.0.1/24 dev br0", "link set br0 up")
	for i, container := range []*namespace{engine, other} {
		host.ip(fmt.Sprintf("link add veth%d type veth peer name eth0 netns %s", i, container.path()), fmt.Sprintf("link set veth%d master br0 up", i))
		container.ip(fmt.Sprintf("addr add 10.9.0.%d/24 dev eth0", 3+i), "link set eth0 up")
	}
	for _, c := range []struct {
		name    string
		gateway *namespace
		address string
	}{{"to the host", host, "10.9.0.1:9999"}, {"to another container", other, "10.9.0.4:9999"}} {
		gateway, from := c.gateway.listen(c.address), engine.dial(c.address)
		reach(t, from, gateway)
		var capture *replay.Capture
		var stop func()
		host.do(func() { capture, stop = tcpdump(t, "-i", "any", "udp") })
		var sent, got []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for d, err := capture.Next(); err == nil; d, err = capture.Next() {
				got = append(got, string(d.Payload))
			}
		}()
		for i := range 20 {
			sent = append(sent, strconv.Itoa(i/2)) // each twice
			send(t, from, gateway, sent[i])
			if i == 10 {
				send(t, from, gateway, strings.Repeat("x", 4000)) // three fragments
			}
		}
		const records = 2 * (20 + 3)
		for deadline := time.Now().Add(30 * time.Second); capture.Read().Records < records && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		stop()
		<-ended
		if skips := capture.Skips(); !slices.Equal(got, sent) || skips["second_sight"] != 20 || skips["fragment"] != 6 {
			t.Errorf("%s: %v, %v; want %v", c.name, got, skips, sent)
		}
	}
}

// reach sends until something arrives: interfaces take a moment to come up.
func reach(t *testing.T, from, to *net.UDPConn) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for buffer := make([]byte, 100); ; {
		from.Write([]byte("is anybody there"))
		to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := to.Read(buffer); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing arrives between the namespaces")
		}
	}
}
