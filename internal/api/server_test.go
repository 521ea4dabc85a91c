package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start serves a handler on a free port of loopback until the test ends.
func start(t *testing.T, h http.Handler, l limits, prepare func(*http.Server)) *Server {
	t.Helper()
	s, err := listen("127.0.0.1:0", h, quietLog(), l)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(s.http)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func TestHead(t *testing.T) {
	a := newTestAPI(newFakeTable(heldAt("a", 1, at(10*time.Second))))
	s := start(t, a, defaultLimits(), nil)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	for path := range a.routes {
		switch path {
		case "/v1/history":
			path += "?engine_id=a"
		case "/v1/watch": // which has no end; see TestWatchHead
			continue
		}
		url := fmt.Sprintf("http://%s%s", s.Addr(), path)
		head, err := client.Head(url)
		if err != nil {
			t.Fatal(err)
		}
		headBody, _ := io.ReadAll(head.Body)
		head.Body.Close()
		answer, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if head.StatusCode != 200 || answer.StatusCode != 200 || len(headBody) != 0 || len(body) == 0 {
			t.Errorf("%s: HEAD %d with %d bytes, GET %d with %d", path, head.StatusCode, len(headBody), answer.StatusCode, len(body))
		}
		if head.Header.Get("Content-Type") != answer.Header.Get("Content-Type") {
			t.Errorf("%s: HEAD %v, GET %v", path, head.Header, answer.Header)
		}
		if length := head.Header.Get("Content-Length"); length != strconv.Itoa(len(body)) && path != "/metrics" {
			t.Errorf("%s: HEAD's Content-Length %s, GET's body %d bytes", path, length, len(body))
		}
	}
}

// A reader that stalls in the middle of a large answer is cut off, and keeps nothing; others are served meanwhile.
func TestStalledReader(t *testing.T) {
	table := newFakeTable()
	for i := range 30_000 { // some 17 MB: more than the buffers of two sockets hold
		table.put(heldAt(engineID(i)+strings.Repeat("x", 200), int64(i), at(10*time.Second)))
	}
	a := newTestAPI(table)
	l := defaultLimits()
	l.write = 500 * time.Millisecond
	closed := make(chan string, 16)
	s := start(t, a, l, func(server *http.Server) {
		server.ConnState = func(c net.Conn, to http.ConnState) {
			if to == http.StateClosed {
				closed <- c.RemoteAddr().String()
			}
		}
	})

	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/engine-states HTTP/1.1\r\nHost: gateway\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(fmt.Sprintf("http://%s/livez", s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for gone := ""; gone != conn.LocalAddr().String(); {
		gone = <-closed
	}

	a.states.idle(t)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // cut off before the first byte was read: reset
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("the stalled reader got all %d bytes", n)
	}
}

// A client that never finishes its headers is cut off.
func TestSlowHeaders(t *testing.T) {
	l := defaultLimits()
	l.readHeader = 50 * time.Millisecond
	s := start(t, newTestAPI(newFakeTable()), l, nil)
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHo"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

func TestHeadersTooLarge(t *testing.T) {
	s := start(t, newTestAPI(newFakeTable()), defaultLimits(), nil)
	answer, err := http.Get(fmt.Sprintf("http://%s/livez?%s", s.Addr(), strings.Repeat("x", 64<<10)))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%s", answer.Status)
	}
}

// One connection more than allowed takes the place of one that is idle, and is refused beside one in use.
func TestConnectionLimit(t *testing.T) {
	l := defaultLimits()
	l.connections = 1
	inUse, done := make(chan struct{}, 1), make(chan struct{})
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			inUse <- struct{}{}
			<-done
		}
	}), l, nil)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	ask := func(conn net.Conn, path string) error {
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: gateway\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		return answer.Body.Close()
	}
	first := dial()
	if err := ask(first, "/"); err != nil {
		t.Fatal(err)
	}
	second := dial()
	for deadline := time.Now().Add(10 * time.Second); ; second = dial() { // the first is idle a moment after its answer
		err := ask(second, "/")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the second connection: %v", err)
		}
	}
	if n, err := first.Read(make([]byte, 1)); err == nil {
		t.Errorf("the first connection, which was idle, has %d bytes", n)
	}
	asked := make(chan error, 1)
	go func() { asked <- ask(second, "/long") }()
	<-inUse
	if err := ask(dial(), "/"); err == nil {
		t.Error("the third connection was answered beside one in use")
	}
	close(done)
	if err := <-asked; err != nil {
		t.Errorf("the second connection, which was in use: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	s := start(t, http.NotFoundHandler(), defaultLimits(), nil)
	if _, err := Listen(s.Addr().String(), http.NotFoundHandler(), quietLog()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address that is taken: %v", err)
	}
	if _, err := Listen("192.0.2.1:0", http.NotFoundHandler(), quietLog()); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address that is not local: %v", err)
	}
}

// A server that never served lets go of its address too.
func TestShutdownBeforeServe(t *testing.T) {
	s, err := Listen("127.0.0.1:0", http.NotFoundHandler(), quietLog())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	again, err := Listen(s.Addr().String(), http.NotFoundHandler(), quietLog())
	if err != nil {
		t.Fatal(err)
	}
	again.Shutdown(t.Context())
}

// A request under way when ctx ends is cut off, not waited for.
func TestShutdownCutsOff(t *testing.T) {
	begun := make(chan struct{})
	s, err := Listen("127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}), quietLog())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	asked := make(chan error, 1)
	go func() {
		_, err := http.Get(fmt.Sprintf("http://%s/", s.Addr()))
		asked <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := <-asked; err == nil {
		t.Error("the request was answered")
	}
}
