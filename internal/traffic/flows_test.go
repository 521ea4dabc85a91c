package traffic

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each stream leaves from one socket, in order, and many streams use most sockets.
func TestFlows(t *testing.T) {
	c, target := listener(t)
	const sockets, streams, rounds = 8, 100, 5
	f, err := NewFlows(target, sockets)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range rounds {
		for k := range streams {
			number := uint64(k) * 0x9E3779B97F4A7C15
			f.Add(number, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, number), uint64(i)))
			if k%3 == 0 {
				if err := f.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := f.Flush(t.Context()); err != nil || f.Sent() != streams*rounds || f.Failed() != 0 || f.TooLong() != 0 {
		t.Fatalf("sent %d, failed %d, too long %d: %v", f.Sent(), f.Failed(), f.TooLong(), err)
	}
	if err := f.Flush(t.Context()); err != nil || f.Sent() != streams*rounds {
		t.Errorf("nothing more: sent %d: %v", f.Sent(), err)
	}
	ports, next := map[uint64]uint16{}, map[uint64]uint64{}
	used := map[uint16]bool{}
	buf := make([]byte, 100)
	for range streams * rounds {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil || n != 16 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		stream, round := binary.BigEndian.Uint64(buf), binary.BigEndian.Uint64(buf[8:])
		if next[stream] != round {
			t.Errorf("stream %x: %d comes when %d should", stream, round, next[stream])
		}
		if port, known := ports[stream]; known && port != from.Port() {
			t.Errorf("stream %x: from port %d and %d", stream, port, from.Port())
		}
		next[stream]++
		ports[stream] = from.Port()
		used[from.Port()] = true
	}
	if len(used) != sockets {
		t.Errorf("%d ports for %d streams", len(used), streams)
	}
}

// Everything that was added goes, whatever the kernel does with a batch; what it refuses for good ends the sending.
func TestFlowsCountWhatWasSent(t *testing.T) {
	for _, test := range []struct {
		errors          []error
		sent            string
		failed, tooLong uint64
		fails, end      bool
	}{
		{nil, "0123456789", 0, 0, false, false},
		{[]error{syscall.ENOBUFS, syscall.ECONNREFUSED}, "0123456789", 2, 0, false, false},
		{[]error{syscall.EMSGSIZE}, "012456789", 1, 1, false, false},
		{[]error{syscall.EMSGSIZE, syscall.EMSGSIZE}, "01245689", 2, 2, false, false},
		{[]error{syscall.ENOBUFS, syscall.EPERM}, "012345", 2, 0, true, false},
		{[]error{syscall.ENOBUFS}, "012", 1, 0, false, true},
	} {
		_, target := listener(t)
		f, err := NewFlows(target, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		kernel := &unwilling{take: 3, errors: test.errors}
		f.sockets[0].sender = kernel
		for i := range 10 {
			f.Add(uint64(i), fmt.Append(nil, i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		if test.end {
			cancel()
		}
		err = f.Flush(ctx)
		cancel()
		var taken strings.Builder
		for _, d := range kernel.taken {
			taken.Write(d)
		}
		if taken.String() != test.sent || f.Sent() != uint64(len(test.sent)) || f.Failed() != test.failed || f.TooLong() != test.tooLong || (err != nil) != test.fails {
			t.Errorf("%v: %s, counted %d, failed %d, too long %d: %v", test.errors, taken.String(), f.Sent(), f.Failed(), f.TooLong(), err)
		}
		if len(f.sockets[0].queued) != 0 {
			t.Errorf("%v: something is still queued", test.errors)
		}
	}
}

// The longest datagram of IPv6 is longer than any of IPv4.
func TestFlowsTooLong(t *testing.T) {
	c, target := listener(t)
	f, err := NewFlows(target, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Add(1, make([]byte, 65508))
	f.Add(1, make([]byte, 1000))
	f.Add(2, nil)
	if err := f.Flush(t.Context()); err != nil || f.Sent() != 2 || f.TooLong() != 1 {
		t.Errorf("sent %d, too long %d: %v", f.Sent(), f.TooLong(), err)
	}
	sizes := map[int]int{}
	for range 2 {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := c.Read(make([]byte, 2000))
		if err != nil {
			t.Fatal(err)
		}
		sizes[n]++
	}
	if sizes[0] != 1 || sizes[1000] != 1 {
		t.Errorf("arrived: %v", sizes)
	}
}

func TestFlowsErrors(t *testing.T) {
	c, target := listener(t)
	c.Close()
	f, err := NewFlows(target, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 10 { // the kernel says of one send that the one before it reached nobody
		f.Add(1, []byte("x"))
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if f.Sent() != 10 || f.Failed() == 0 {
		t.Errorf("nobody listens: sent %d, failed %d", f.Sent(), f.Failed())
	}
	f.Close()
	f.Add(1, []byte("x"))
	if err := f.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), target.String()) {
		t.Errorf("a closed socket: %v", err)
	}
}
