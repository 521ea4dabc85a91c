//go:build linux && !portable

package mmsg

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// The kernel is asked for arrivals after a pause and until what is read is young again, and not otherwise.
func TestArrivalsAreToldAfterAPause(t *testing.T) {
	in, out := pair(t, "udp4", "127.0.0.1")
	receiver, err := NewReceiver(in, 1, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(out, "x")
	if receiveOne(t, receiver) == 0 {
		t.Error("the first look has no arrival")
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		begin := time.Now()
		fmt.Fprint(out, "x")
		told := receiveOne(t, receiver)
		if time.Since(begin) < AwayLimit/2 && told == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("arrivals are told without a pause")
		}
	}
	time.Sleep(AwayLimit + time.Millisecond)
	fmt.Fprint(out, "x")
	if receiveOne(t, receiver) == 0 {
		t.Error("no arrival after a pause")
	}
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p presence
		look := func(after time.Duration, away bool) {
			t.Helper()
			time.Sleep(after)
			if got := p.look(); got != away {
				t.Errorf("away is %v", got)
			}
		}
		old, young := time.Now().Add(AwayLimit).UnixNano(), int64(0)
		look(0, true) // the first
		look(0, false)
		look(AwayLimit, false)
		look(AwayLimit+1, true)
		look(3*AwayLimit, true)
		p.caughtUp(old, p.readAt()) // of a full queue, say
		look(0, true)
		p.caughtUp(time.Now().UnixNano()-int64(AwayLimit), p.readAt())
		look(0, false)
		p.caughtUp(young, p.readAt())
		look(0, false)

		began := time.Now()
		time.Sleep(AwayLimit / 2) // a slow read
		if at := p.readAt(); !at.Equal(time.Now()) {
			t.Errorf("read at %v", at.Sub(began))
		}
		time.Sleep(8 * time.Second) // stopped in the middle of it
		if at := p.readAt().Sub(began); at != AwayLimit {
			t.Errorf("read %v after it began", at)
		}
	})
}
