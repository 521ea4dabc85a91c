package engine

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// held returns a socket that the test keeps, and a copy to pass on.
func held(t *testing.T) (kept, passed *net.UDPConn) {
	t.Helper()
	kept, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	return kept, copyOf(t, kept)
}

// copyOf returns another descriptor of a socket.
func copyOf(t *testing.T, c *net.UDPConn) *net.UDPConn {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	passed, err := net.FilePacketConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return passed.(*net.UDPConn)
}

// Passed sockets are read, one reader each, and outlive the engine: what comes in between waits for the next one.
func TestPassedSockets(t *testing.T) {
	kept, passed := held(t)
	_, second := held(t)
	r := start(t, config(func(c *Config) { c.Sockets, c.Workers, c.Port = []*net.UDPConn{passed, second}, 7, 1 }))
	if want := kept.LocalAddr().(*net.UDPAddr).AddrPort(); r.Address() != want || r.Workers() != 2 {
		t.Errorf("%v with %d readers, want %v", r.Address(), r.Workers(), want)
	}
	sender := dial(t, "127.0.0.1", r.Address().Port())
	other := dial(t, "127.0.0.1", uint16(second.LocalAddr().(*net.UDPAddr).Port))
	send(t, sender, "a")
	send(t, other, "b")
	r.awaitReceived(t, 2)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	send(t, sender, "c")
	next := start(t, config(func(c *Config) { c.Sockets = []*net.UDPConn{copyOf(t, kept)} }))
	next.awaitReceived(t, 1)
	if got := next.records[0].seen(); len(got) != 1 || got[0] != "c" {
		t.Errorf("the next engine got %q", got)
	}
}

// What a passed socket dropped before is another's account.
func TestPassedSocketsDropsCountFromNow(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("drops are counted on Linux")
	}
	kept, passed := held(t)
	if _, err := mmsg.SetReceiveBuffer(kept, 4096); err != nil {
		t.Fatal(err)
	}
	sender := dial(t, "127.0.0.1", uint16(kept.LocalAddr().(*net.UDPAddr).Port))
	drops := func() uint32 {
		n, err := mmsg.Drops(kept)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); drops() < 10; {
		if send(t, sender, "x"); time.Now().After(deadline) {
			t.Fatal("nothing is dropped")
		}
	}
	e, err := Listen(config(func(c *Config) { c.Sockets, c.ReceiveBuffer = []*net.UDPConn{passed}, 4096 }))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	before := uint64(drops())
	if got := e.KernelDrops()[0]; got != 0 || e.DroppedBefore() != before {
		t.Errorf("%d dropped, %d before; want 0 and %d", got, e.DroppedBefore(), before)
	}
	send(t, sender, "x")
	if got := e.KernelDrops()[0]; got != uint64(drops())-before || got == 0 {
		t.Errorf("%d dropped after one more, and %d before", got, before)
	}
}
