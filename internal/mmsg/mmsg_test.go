package mmsg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// pair returns a receiving socket on loopback and one that is connected to it.
func pair(t *testing.T, network, host string) (receiving, sending *net.UDPConn) {
	t.Helper()
	receiving, err := net.ListenUDP(network, &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		t.Skipf("no socket on %s: %v", host, err)
	}
	t.Cleanup(func() { receiving.Close() })
	sending, err = net.DialUDP(network, nil, receiving.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sending.Close() })
	return receiving, sending
}

func TestSendAndReceive(t *testing.T) {
	for _, family := range []struct{ network, host string }{{"udp4", "127.0.0.1"}, {"udp6", "::1"}} {
		t.Run(family.network, func(t *testing.T) {
			in, out := pair(t, family.network, family.host)
			if _, err := SetReceiveBuffer(in, 1<<20); err != nil {
				t.Fatal(err)
			}
			receiver, err := NewReceiver(in, 7, 100, false)
			if err != nil {
				t.Fatal(err)
			}
			sender, err := NewSender(out, 16) // 50 datagrams: three whole batches and a rest
			if err != nil {
				t.Fatal(err)
			}
			var datagrams [][]byte
			for i := range 50 {
				datagrams = append(datagrams, make([]byte, 3*i)) // empty ones, short ones, and ones above 100 bytes
				copy(datagrams[i], fmt.Sprint("datagram ", i))
			}
			if n, err := sender.Send(datagrams); n != 50 || err != nil {
				t.Fatalf("sent %d: %v", n, err)
			}
			source := out.LocalAddr().(*net.UDPAddr).AddrPort()
			for seen := 0; seen < 50; {
				n, err := receiver.Receive(true)
				if err != nil || n < 1 || n > 7 {
					t.Fatalf("received %d: %v", n, err)
				}
				for i := range n {
					sent := datagrams[seen]
					seen++
					if got, want := string(receiver.Payload(i)), string(sent[:min(len(sent), 100)]); got != want {
						t.Errorf("payload %q, want %q", got, want)
					}
					if got, want := receiver.Truncated(i), len(sent) > 100; got != want {
						t.Errorf("%d bytes: truncated is %v", len(sent), got)
					}
					if got := receiver.Source(i); got != source {
						t.Errorf("source %v, want %v", got, source)
					}
				}
			}
			if n, err := receiver.Receive(false); n != 0 || err != nil {
				t.Errorf("an empty socket gave %d, %v", n, err)
			}
		})
	}
}

func TestMappedSourceIsShownAsIPv4(t *testing.T) {
	in, err := net.ListenUDP("udp", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", in.LocalAddr().(*net.UDPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	receiver, err := NewReceiver(in, 1, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(out, "x")
	if _, err := receiver.Receive(true); err != nil {
		t.Fatal(err)
	}
	if got := receiver.Source(0).Addr(); got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("source %v", got)
	}
}

func TestReceiveErrors(t *testing.T) {
	in, _ := pair(t, "udp4", "127.0.0.1")
	receiver, err := NewReceiver(in, 1, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	in.SetReadDeadline(time.Unix(1, 0))
	if _, err := receiver.Receive(true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a deadline: %v", err)
	}
	in.Close()
	if _, err := receiver.Receive(true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// The error of a send concerns the first datagram that was not taken.
func TestSendError(t *testing.T) {
	_, out := pair(t, "udp4", "127.0.0.1")
	sender, err := NewSender(out, 4)
	if err != nil {
		t.Fatal(err)
	}
	tooLong := make([]byte, 70_000)
	n, err := sender.Send([][]byte{{1}, {2}, tooLong, {3}})
	if n != 2 || err == nil {
		t.Errorf("sent %d: %v; want 2 and an error", n, err)
	}
}

func TestBatchLimits(t *testing.T) {
	in, out := pair(t, "udp4", "127.0.0.1")
	for _, batch := range []int{0, -1, 1025} {
		if _, err := NewReceiver(in, batch, 10, false); !errors.Is(err, ErrBatch) {
			t.Errorf("receiver of %d: %v", batch, err)
		}
		if _, err := NewSender(out, batch); !errors.Is(err, ErrBatch) {
			t.Errorf("sender of %d: %v", batch, err)
		}
	}
}

func TestSlotStride(t *testing.T) {
	for _, size := range []int{1, 63, 64, 65, 512, 4096, 65507} {
		if s := slotStride(size); s < size || s%64 != 0 || s/64%2 == 0 || s > size+128 {
			t.Errorf("stride of %d is %d", size, s)
		}
	}
}
