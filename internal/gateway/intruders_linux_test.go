package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/mmsg"
)

// syncBuffer is a buffer for a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A socket that joins the port is found, and told of; the gateway's own and one that is connected to a peer are none.
func TestIntruders(t *testing.T) {
	var said syncBuffer
	g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false }), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	own, err := g.engine.Inodes()
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		t.Helper()
		n, err := intruders(g.UDPAddress(), own)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 0 {
		t.Fatalf("%d sockets beside the gateway's own", n)
	}
	join := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { mmsg.SetReusePort(int(fd)) })
	}}
	intruder, err := join.ListenPacket(t.Context(), "udp4", g.UDPAddress().String())
	if err != nil {
		t.Fatal(err)
	}
	defer intruder.Close()
	if n := count(); n != 1 {
		t.Errorf("%d intruders, want 1", n)
	}
	stop := run(t, g)
	await(t, g, "the intruder", func(s Statistics) bool { return s.Intruders == 1 })
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(said.String(), "another process has sockets on the UDP port"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("said %q", said.String())
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := mmsg.Seal(intruder.(*net.UDPConn)); err != nil { // connected
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d intruders, of which one is connected", n)
	}
}

// What /livez says is said once, and its end.
func TestDeafnessIsToldOnce(t *testing.T) {
	var said syncBuffer
	g, err := New(settings(t, func(s *config.Settings) { s.EnableLog = false }), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	deaf := g.tellDeafness(false)
	if deaf || said.String() != "" {
		t.Fatalf("deaf: %v; said %q", deaf, said.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Run(ctx) // its readers have stopped
	before := strings.Count(said.String(), "\n")
	for range 3 {
		deaf = g.tellDeafness(deaf)
	}
	if n := strings.Count(said.String(), "no states are received"); !deaf || n != 1 || strings.Count(said.String(), "\n") != before+1 {
		t.Errorf("deaf: %v; said %q", deaf, said.String())
	}
}
