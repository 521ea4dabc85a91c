package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeGateway answers over pipes, so that all of it and the client can live in a bubble with a clock of its own.
type fakeGateway struct {
	answer http.HandlerFunc
	steps  chan func(*stream)

	mu       sync.Mutex
	listener *pipeListener // nil while the gateway is down
	server   *http.Server
	dialled  int
}

// newFakeGateway serves answer until the test ends; nil has the test say step by step what to send on the stream.
func newFakeGateway(t *testing.T, answer http.HandlerFunc) *fakeGateway {
	g := &fakeGateway{answer: answer, steps: make(chan func(*stream))}
	if answer == nil {
		g.answer = func(w http.ResponseWriter, r *http.Request) {
			if got := r.URL.String(); got != "/v1/watch?fields=engines&stale=include" {
				t.Errorf("asked for %s", got)
			}
			s := begin(w, r)
			for do := range g.steps {
				do(s)
			}
		}
	}
	g.start()
	t.Cleanup(g.stop)
	return g
}

func (g *fakeGateway) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener = &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	g.server = &http.Server{Handler: g.answer}
	go g.server.Serve(g.listener)
}

// stop closes all connections.
func (g *fakeGateway) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener = nil
	g.server.Close()
}

func (g *fakeGateway) attempts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dialled
}

var errDown = errors.New("nobody is there")

// transport returns one that dials this gateway, whatever the address.
func (g *fakeGateway) transport() *http.Transport {
	t := defaultTransport()
	t.DialContext = func(context.Context, string, string) (net.Conn, error) {
		g.mu.Lock()
		g.dialled++
		l := g.listener
		g.mu.Unlock()
		if l == nil {
			return nil, errDown
		}
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-l.closed:
			return nil, errDown
		}
	}
	return t
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// stream is what a handler writes events to.
type stream struct {
	w       http.ResponseWriter
	request *http.Request
}

func begin(w http.ResponseWriter, r *http.Request) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return &stream{w, r}
}

// send sends an event, the data as JSON. It reports whether the client is still there.
func (s *stream) send(kind string, data any) bool {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	retry := ""
	if kind == "snapshot" {
		retry = "retry: 1000\n"
	}
	return s.write(fmt.Sprintf("event: %s\n%sid: 1-1\ndata: %s\n\n", kind, retry, text))
}

func (s *stream) write(text string) bool {
	_, err := s.w.Write([]byte(text))
	return err == nil && http.NewResponseController(s.w).Flush() == nil
}

// engine returns an engine object as the gateway sends it, with changes.
func engine(id string, timestampMs int64, changes ...map[string]any) map[string]any {
	e := map[string]any{
		"engine_id": id, "timestamp_ms": timestampMs, "latency_pred_ms": 21.253122228102537, "scheduling_mode": "balanced",
		"pending_tokens_total": 5, "kv_cache_free_blocks": 10, "kv_cache_total_blocks": 20, "engine_capacity": 59768.2749641796,
		"status": "fresh", "fresh": true, "age_ms": 0, "received_at_ms": timestampMs + 1, "load_timestamp_ms": timestampMs,
		"last_heartbeat_ms": nil, "stale_after_ms": 2000, "clock_skew_ms": 1, "push_interval_ms": 200.5,
		"source_addr": "192.0.2.1:40000", "conflict": false,
	}
	for _, change := range changes {
		for name, value := range change {
			e[name] = value
		}
	}
	return e
}

func states(engines ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, e := range engines {
		all[e["engine_id"].(string)] = e
	}
	return map[string]any{"revision": 1, "server_time_ms": time.Now().UnixMilli(), "states": all}
}

func bookmark() map[string]any {
	return map[string]any{"revision": 1, "server_time_ms": time.Now().UnixMilli()}
}

// pause waits; it reports whether the client is still there.
func (s *stream) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.request.Context().Done():
		return false
	}
}

// bookmarks sends one a second until the client goes.
func (s *stream) bookmarks() {
	for s.send("bookmark", bookmark()) && s.pause(time.Second) {
	}
}

// watch runs a test with a Watcher of the gateway in a bubble, and ends both.
func watch(t *testing.T, answer http.HandlerFunc, test func(t *testing.T, g *fakeGateway, w *Watcher), options ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway(t, answer)
		ctx, cancel := context.WithCancel(t.Context())
		w, err := Watch(ctx, "http://gateway.test", append(options, Transport(g.transport()))...)
		if err != nil {
			t.Fatal(err)
		}
		test(t, g, w)
		cancel()
		w.Wait()
	})
}
