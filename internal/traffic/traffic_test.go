package traffic

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/mmsg"
	"github.com/elrar/state-gateway/state"
)

// listener is a socket that counts what arrives, with a buffer for more than any of these tests sends.
func listener(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := mmsg.SetReceiveBuffer(c, 4<<20); err != nil {
		t.Fatal(err)
	}
	return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// drain returns everything that has arrived, decoded.
func drain(t *testing.T, c *net.UDPConn) (valid []state.State, invalid int) {
	t.Helper()
	r, err := mmsg.NewReceiver(c, 64, 2048, false)
	if err != nil {
		t.Fatal(err)
	}
	d := decode.New()
	for {
		n, err := r.Receive(false)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return valid, invalid
		}
		for i := range n {
			var s state.State
			if d.Decode(r.Payload(i), &s) == state.Accepted {
				s.EngineID, s.SchedulingMode = strings.Clone(s.EngineID), strings.Clone(s.SchedulingMode)
				valid = append(valid, s)
			} else {
				invalid++
			}
		}
	}
}

// checkNumbers holds each engine's datagrams to being numbered without a gap, in order and in time's order.
func checkNumbers(t *testing.T, states []state.State, engines int) {
	t.Helper()
	newest := map[string]state.State{}
	for _, s := range states {
		last, seen := newest[s.EngineID]
		want := int64(firstSequence)
		if seen {
			want = last.PendingTokensTotal + 1
		}
		if s.PendingTokensTotal != want || seen && s.TimestampMs <= last.TimestampMs {
			t.Fatalf("%s: number %d at %d after number %d at %d", s.EngineID, s.PendingTokensTotal, s.TimestampMs, last.PendingTokensTotal, last.TimestampMs)
		}
		newest[s.EngineID] = s
	}
	if len(newest) != engines {
		t.Errorf("%d engines, want %d", len(newest), engines)
	}
}

func TestLoadIsNumberedAndPaced(t *testing.T) {
	for _, shape := range []Shape{Usual, Compact, Shuffled} {
		for _, gso := range []bool{false, true} {
			if gso && runtime.GOOS != "linux" {
				continue
			}
			c, target := listener(t)
			l, err := NewLoad(LoadConfig{Target: target, Engines: 50, Senders: 2, Rate: 5000, Shape: shape, GSO: gso})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begin := time.Now()
			if err := l.Run(ctx); err != nil {
				t.Fatal(err)
			}
			most := uint64(time.Since(begin).Seconds()*5000) + 1
			l.Close()
			states, invalid := drain(t, c)
			if uint64(len(states)) != l.Sent() || invalid != 0 || l.Sent() == 0 || l.Sent() > most {
				t.Errorf("%s gso=%v: sent %d, arrived %d, invalid %d", shape, gso, l.Sent(), len(states), invalid)
			}
			checkNumbers(t, states, 50)
		}
	}
}

func TestMixedLoadCountsItsInvalidDatagrams(t *testing.T) {
	c, target := listener(t)
	l, err := NewLoad(LoadConfig{Target: target, Engines: 9, Senders: 1, Rate: 10_000, Shape: Mixed, Invalid: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	states, invalid := drain(t, c)
	if uint64(invalid) != l.Invalid() || uint64(len(states)+invalid) != l.Sent() || invalid == 0 || len(states) == 0 {
		t.Errorf("sent %d, of these invalid %d; arrived %d valid, %d invalid", l.Sent(), l.Invalid(), len(states), invalid)
	}
}

// A load goes on without a gateway, which may only be restarting, and counts what reached nobody.
func TestLoadWithoutAListener(t *testing.T) {
	c, target := listener(t)
	c.Close()
	l, err := NewLoad(LoadConfig{Target: target, Engines: 1, Senders: 1, Shape: Usual, Rate: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.Run(ctx); err != nil || l.Failed() == 0 || l.Sent() == 0 {
		t.Errorf("sent %d, failed %d: %v", l.Sent(), l.Failed(), err)
	}
}

// unwilling is a kernel that takes a part of each batch at most, and then fails.
type unwilling struct {
	take   int
	errors []error // of the calls, the first one first; then none
	taken  [][]byte
}

func (u *unwilling) Send(datagrams [][]byte) (int, error) {
	if len(u.errors) == 0 {
		u.taken = append(u.taken, datagrams...)
		return len(datagrams), nil
	}
	err := u.errors[0]
	u.errors = u.errors[1:]
	n := min(u.take, len(datagrams))
	u.taken = append(u.taken, datagrams[:n]...)
	return n, err
}

// What is counted is what was sent, whatever the kernel does with a batch.
func TestLoadCountsWhatWasSent(t *testing.T) {
	for _, c := range []struct {
		errors     []error
		sent       int
		failed     uint64
		fails, end bool
	}{
		{errors: nil, sent: 60},
		{errors: []error{syscall.ENOBUFS, syscall.ECONNREFUSED, syscall.ENOBUFS}, sent: 60, failed: 3},
		{errors: []error{syscall.ENOBUFS, syscall.EPERM}, sent: 14, failed: 2, fails: true},
		{errors: []error{syscall.ENOBUFS, syscall.EPERM}, sent: 7, failed: 1, end: true},
	} {
		_, target := listener(t)
		l, err := NewLoad(LoadConfig{Target: target, Engines: 3, Senders: 1, Shape: Mixed, Invalid: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		kernel := &unwilling{take: 7, errors: c.errors}
		s := l.senders[0]
		s.sender = kernel
		ctx, cancel := context.WithCancel(t.Context())
		if c.end {
			cancel()
		}
		sent, err := s.send(ctx, 60)
		cancel()
		if sent != c.sent || l.Sent() != uint64(c.sent) || l.Failed() != c.failed || (err != nil) != c.fails {
			t.Errorf("%v: sent %d, counted %d, failed %d: %v", c.errors, sent, l.Sent(), l.Failed(), err)
		}
		d, invalid := decode.New(), uint64(0)
		var st state.State
		for _, datagram := range kernel.taken {
			if d.Decode(datagram, &st) != state.Accepted {
				invalid++
			}
		}
		if len(kernel.taken) != c.sent || l.Invalid() != invalid {
			t.Errorf("%v: the kernel took %d with %d invalid ones, counted %d", c.errors, len(kernel.taken), invalid, l.Invalid())
		}
	}
}

func TestLoadConfigErrors(t *testing.T) {
	_, target := listener(t)
	if _, err := NewLoad(LoadConfig{Target: target, Engines: 1, Senders: 2, Shape: Usual}); err == nil {
		t.Error("two senders for one engine")
	}
	if _, err := NewLoad(LoadConfig{Target: target, Engines: 1, Senders: 1, Shape: Usual, Size: 100}); !errors.Is(err, errTooLong) {
		t.Errorf("100 bytes: %v", err)
	}
}

// Every kind of damage makes every shape invalid, and changes no size.
func TestDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d := decode.New()
	var s state.State
	for _, shape := range []Shape{Usual, Compact, Shuffled} {
		for i := range 200 {
			template, err := newTemplate("http://load-1:8000", shape, DatagramSize, random)
			if err != nil {
				t.Fatal(err)
			}
			template.stamp(1_755_532_567_495, int64(i))
			if got := d.Decode(template.bytes, &s); got != state.Accepted {
				t.Fatalf("%s: %v: %s", shape, got, template.bytes)
			}
			damage(template.bytes, int64(i))
			if d.Decode(template.bytes, &s) == state.Accepted || len(template.bytes) != DatagramSize {
				t.Errorf("%s: kind %d is accepted: %s", shape, i%4, template.bytes)
			}
		}
	}
}

// A fleet's engines keep to their interval and their states stay within the protocol's limits.
func TestFleet(t *testing.T) {
	for _, copies := range []int{1, BroadcastCopies} {
		testFleet(t, copies)
	}
}

func testFleet(t *testing.T, copies int) {
	c, target := listener(t)
	f, err := NewFleet(FleetConfig{Target: target, Engines: 20, Interval: 10 * time.Millisecond, Copies: copies})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 205*time.Millisecond)
	defer cancel()
	begin := time.Now()
	f.Run(ctx)
	most := int(time.Since(begin)/(10*time.Millisecond)) + 1 // on a busy machine it ends late
	states, invalid := drain(t, c)
	if invalid != 0 || uint64(len(states)) != f.Sent() || f.Failed() != 0 {
		t.Errorf("sent %d, failed %d, arrived %d valid, %d invalid", f.Sent(), f.Failed(), len(states), invalid)
	}
	count := map[string]int{}
	for i, s := range states {
		if i%copies == 0 {
			count[s.EngineID]++
		} else if s != states[i-1] {
			t.Errorf("%+v follows %+v, of %d copies each", s, states[i-1], copies)
		}
	}
	for id, n := range count {
		if n > most { // never more than its schedule asks for
			t.Errorf("%s sent %d states, more than %d", id, n, most)
		}
	}
	if len(count) != 20 {
		t.Errorf("%d engines", len(count))
	}
}

func TestAgentsLive(t *testing.T) {
	d := decode.New()
	for seed := range uint64(20) {
		a, modes := NewAgent("a", seed), map[string]bool{}
		for i := range 2000 {
			s, got := a.Next(time.UnixMilli(int64(i))), state.State{}
			if reason := d.Decode(s.AppendJSON(nil), &got); reason != state.Accepted || s.KVCacheFreeBlocks > s.KVCacheTotalBlocks {
				t.Fatalf("%v: %+v", reason, s)
			}
			modes[s.SchedulingMode] = true
		}
		if len(modes) != 3 {
			t.Errorf("seed %d: modes %v", seed, modes)
		}
	}
}
