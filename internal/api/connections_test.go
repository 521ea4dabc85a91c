package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Connections that are only kept alive do not keep others waiting: the one that has been idle for longest gives way. Those
// in use are left alone.
func TestIdleConnectionsGiveWay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		watching := w.watch("")
		var kept []*stream
		begin := time.Now()
		for i := range 1100 { // the server takes 1,024
			w.pipes.remote(i % 2)
			s := w.ask(http.MethodGet, "/livez")
			if s.response.StatusCode != http.StatusOK {
				t.Fatal(s.response.Status)
			}
			if _, err := io.Copy(io.Discard, s.lines); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // it is idle
			kept = append(kept, s)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("somebody waited %v", took)
		}
		again := func(s *stream) error {
			_, err := fmt.Fprintf(s.conn, "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n")
			return err
		}
		closed := len(kept) + 1 - 1024
		for i, s := range kept {
			if i == 0 || i == closed-1 || i == closed || i == len(kept)-1 {
				if err := again(s); (err != nil) != (i < closed) {
					t.Errorf("connection %d of %d: %v", i, len(kept), err)
				}
			}
		}
		if watching.over() != nil {
			t.Error(watching.over())
		}
		for _, s := range append(kept, watching) {
			s.conn.Close()
		}
	})
}

// fakeConn is a connection of an address, of which nothing but that is asked.
type fakeConn struct {
	net.Conn
	remote string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.remote))
}
func (c *fakeConn) Close() error { c.closed = true; return nil }

// Who goes when there are too many connections.
func TestWhoGivesWay(t *testing.T) {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"result"})
	var told bytes.Buffer
	c := newConnections(16, slog.New(slog.NewTextHandler(&told, nil)), results) // 14 of one address
	open := func(host string, to ...http.ConnState) *fakeConn {
		conn := &fakeConn{remote: host + ":1"}
		c.connState(conn, http.StateNew)
		for _, s := range to {
			c.connState(conn, s)
		}
		return conn
	}
	used := func(host string) *fakeConn {
		conn := open(host, http.StateActive)
		c.turnTo(conn, inUse)
		return conn
	}
	want := func(what string, gone *fakeConn, stay ...*fakeConn) {
		t.Helper()
		if !gone.closed {
			t.Errorf("%s: it stays", what)
		}
		for _, s := range stay {
			if s.closed {
				t.Errorf("%s: %s goes", what, s.remote)
			}
		}
	}
	kept := open("10.0.0.1", http.StateActive, http.StateIdle)
	silent := open("10.0.0.1")
	slow := open("10.0.0.1", http.StateActive)
	var many []*fakeConn
	for range 11 {
		many = append(many, used("10.0.0.1"))
	}
	other := open("10.0.0.2") // there is room for it
	want("an address's share is used up", silent, kept, slow, other, open("10.0.0.1"))
	more := used("10.0.0.1")
	want("the next of them", slow, kept, other, more)
	another := open("10.0.0.3")
	last := open("10.0.0.4") // one too many of all
	if n := c.from[addressOf("10.0.0.1:1")]; n != 13 || c.all.Len() != 16 {
		t.Errorf("%d connections, %d of the address that has the most; one of its should have gone", c.all.Len(), n)
	}
	used("10.0.0.1")
	want("those without a request are gone", kept, append(many, other, another, last)...)
	gone := func() (n int) {
		for _, conn := range []*fakeConn{other, another, last} {
			if conn.closed {
				n++
			}
		}
		return n
	}
	if used("10.0.0.1"); gone() != 1 {
		t.Errorf("%d of other addresses are gone, want 1, since all of the heaviest are in use", gone())
	}
	want("all of its share are in use", open("10.0.0.1"), many...)
	if small := open("[2001:db8::1]"); small.closed || gone() != 2 {
		t.Errorf("%d of other addresses are gone, want 2", gone())
	}
	if n := strings.Count(told.String(), "\n"); n != 1 {
		t.Errorf("%d messages: %s", n, told.String())
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(results)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, m := range families[0].Metric {
		counts[m.Label[0].GetValue()] = m.Counter.GetValue()
	}
	if want := map[string]float64{"accepted": 22, "evicted": 6, "refused": 1}; fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", counts, want)
	}
	if addressOf("[2001:db8::1]:1") != addressOf("[2001:db8::2]:1") || addressOf("[2001:db8:1::1]:1") == addressOf("[2001:db8::2]:1") ||
		addressOf("[::ffff:10.0.0.1]:1") != addressOf("10.0.0.1:2") || addressOf("10.0.0.1:1") == addressOf("10.0.0.2:1") {
		t.Error("addresses are taken for each other")
	}
}

// A request that announces a body is not whole: its connection can be made to wait for the body, and goes like a silent one.
func TestRequestWithABodyIsNotWhole(t *testing.T) {
	for length, want := range map[int64]use{0: inUse, 100: pending, -1: pending} {
		results := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "results"}, []string{"result"})
		c := newConnections(8, slog.New(slog.DiscardHandler), results)
		conn, other := net.Pipe()
		defer conn.Close()
		defer other.Close()
		c.connState(conn, http.StateNew)
		c.connState(conn, http.StateActive)
		r := httptest.NewRequestWithContext(c.connContext(t.Context(), conn), http.MethodGet, "/livez", nil)
		r.ContentLength = length
		c.heard(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		if got := c.at[conn].Value.(*connection).use; got != want {
			t.Errorf("a body of %d bytes: use %d, want %d", length, got, want)
		}
	}
}
