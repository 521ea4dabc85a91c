package mmsg

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// receiveOne returns the arrival of the one datagram that is there.
func receiveOne(t *testing.T, r *Receiver) int64 {
	t.Helper()
	n, err := r.Receive(true)
	if n != 1 || err != nil {
		t.Fatalf("%d received: %v", n, err)
	}
	return r.Arrival(0)
}

// A datagram's arrival is when it reached the host, however long nobody reads it.
func TestArrivalIsNotTheRead(t *testing.T) {
	for _, family := range []struct{ network, host string }{{"udp4", "127.0.0.1"}, {"udp6", "::1"}} {
		t.Run(family.network, func(t *testing.T) {
			in, out := pair(t, family.network, family.host)
			receiver, err := NewReceiver(in, 2, 100, false)
			if err != nil {
				t.Fatal(err)
			}
			// A first read makes the kernel stamp what arrives. It begins a moment later if no other socket of the host has
			// asked for it; until then it tells the time of the read.
			fmt.Fprint(out, "x")
			receiveOne(t, receiver)
			const wait, tolerance = AwayLimit + 50*time.Millisecond, AwayLimit / 4
			for deadline := time.Now().Add(10 * time.Second); ; {
				begin := time.Now()
				for range 5 { // three batches
					fmt.Fprint(out, "x")
				}
				sent := time.Now()
				time.Sleep(wait) // they wait
				late := false
				for seen := 0; seen < 5; {
					n, err := receiver.Receive(true)
					if err != nil {
						t.Fatal(err)
					}
					for i := range n {
						at := time.Unix(0, receiver.Arrival(i))
						if receiver.Arrival(i) == 0 { // not told, since what was read before it seemed young
							late = true
						} else if at.Before(begin.Add(-tolerance)) {
							t.Fatalf("datagram %d arrived %v before it was sent", seen+i, begin.Sub(at))
						}
						late = late || at.After(sent.Add(tolerance))
					}
					seen += n
				}
				if !late {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("arrivals are those of the reads")
				}
			}
		})
	}
}

// stamp returns a control message as the kernel writes it.
func stamp(sec, nsec uint64) []byte {
	oob := make([]byte, unix.CmsgSpace(16))
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(16)))
	binary.NativeEndian.PutUint32(oob[8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(oob[12:], unix.SCM_TIMESTAMPNS)
	binary.NativeEndian.PutUint64(oob[unix.CmsgLen(0):], sec)
	binary.NativeEndian.PutUint64(oob[unix.CmsgLen(8):], nsec)
	return oob
}

func TestArrivalOfControlMessages(t *testing.T) {
	if unix.SizeofCmsghdr != 16 {
		t.Skip("the messages below are those of 64-bit machines")
	}
	good := stamp(1755532567, 502843999)
	const want = 1755532567502843999
	info := pktinfo([4]byte{10, 0, 0, 7}, [4]byte{10, 0, 0, 255})
	short := stamp(1, 1)
	binary.NativeEndian.PutUint64(short, uint64(unix.CmsgLen(8)))
	tooLong := stamp(1, 1)
	binary.NativeEndian.PutUint64(tooLong, 1000)
	both := append(append([]byte{}, good...), info...)
	for name, c := range map[string]struct {
		oob  []byte
		want int64
	}{
		"alone":                 {good, want},
		"before another":        {both, want},
		"after another":         {append(append([]byte{}, info...), good...), want},
		"another alone":         {info, 0},
		"nothing":               {nil, 0},
		"cut in the header":     {good[:10], 0},
		"cut in the data":       {good[:28], 0},
		"too short a time":      {short, 0},
		"length beyond the end": {tooLong, 0},
		"zeros":                 {make([]byte, 64), 0},
	} {
		if got := arrival(c.oob); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if len(both) > controlSize {
		t.Errorf("both messages have %d bytes, of %d", len(both), controlSize)
	}
	if !broadcastDestination(both) {
		t.Error("the destination behind the arrival is not found")
	}
	if n := testing.AllocsPerRun(100, func() { arrival(both); broadcastDestination(both) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzControlMessages(f *testing.F) {
	f.Add(stamp(1755532567, 502843999))
	f.Add(pktinfo([4]byte{10, 0, 0, 7}, [4]byte{10, 0, 0, 255}))
	f.Fuzz(func(t *testing.T, oob []byte) {
		arrival(oob)
		broadcastDestination(oob)
	})
}
