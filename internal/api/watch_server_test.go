package api

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// dialWatch opens a stream over TCP.
func dialWatch(t *testing.T, address string) *stream {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprint(conn, "GET /v1/watch HTTP/1.1\r\nHost: gateway\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	s := &stream{conn: conn}
	if s.response, err = http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewReader(s.response.Body)
	return s
}

// awaitGoroutines waits until there are no more of them than before.
func awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// However watchers go, nothing of them stays.
func TestGoneWatchersLeaveNothing(t *testing.T) {
	a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
	s := start(t, a, defaultLimits(), nil)
	before := runtime.NumGoroutine()
	for round := range 3 {
		var streams []*stream
		for range 20 {
			streams = append(streams, dialWatch(t, s.Addr().String()))
		}
		for i, stream := range streams {
			if e, err := stream.read(); err != nil || e.name != "snapshot" {
				t.Fatalf("%+v %v", e, err)
			}
			if i%2 == round%2 {
				stream.conn.(*net.TCPConn).SetLinger(0) // it is reset
			}
			stream.conn.Close()
		}
		awaitGoroutines(t, before)
		if n := len(a.hub.present()); n != 0 || a.hub.running {
			t.Fatalf("%d watchers are left", n)
		}
	}
}
