package mmsg

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/internal/needs"
)

// unprivileged runs f on a thread that may not exceed the system's limit on receive buffers, and that ends with it.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is not used again
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&header, &data[0])
		if err == nil {
			data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
			err = unix.Capset(&header, &data[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Somebody with more privileges may have given a socket a larger buffer than this process may ask for; asking for more
// must not take it away.
func TestRaiseReceiveBufferNeverLowers(t *testing.T) {
	const most = 1 << 30 // of config; far above any system's limit for everybody
	needs.Root(t)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	allowed, err := allowedReceiveBuffer(most)
	if err != nil {
		t.Fatal(err)
	}
	forced, err := SetReceiveBuffer(conn, 2*allowed)
	if err != nil || forced != 2*allowed {
		needs.Skip(t, fmt.Sprintf("2 × %d bytes are not to be had, but %d: %v", allowed, forced, err))
	}
	for _, size := range []int{allowed / 2, allowed, 2 * allowed, most} {
		unprivileged(t, func() {
			if got, err := RaiseReceiveBuffer(conn, size); err != nil || got != forced {
				t.Errorf("asked for %d: %d, want %d; %v", size, got, forced, err)
			}
		})
	}
	if got, err := RaiseReceiveBuffer(conn, 3*allowed); err != nil || got != 3*allowed {
		t.Errorf("with the privilege, asked for %d: %d, %v", 3*allowed, got, err)
	}
	small, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	if _, err := SetReceiveBuffer(small, 4096); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, func() {
		if got, err := RaiseReceiveBuffer(small, most); err != nil || got != allowed {
			t.Errorf("a small one without the privilege: %d, want the limit %d; %v", got, allowed, err)
		}
	})
}
