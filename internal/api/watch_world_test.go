package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// tickingGateway is a gateway whose clock runs.
type tickingGateway struct {
	fakeGateway
	origin time.Time
}

func (g *tickingGateway) Now() state.Instant {
	now := time.Now()
	return state.Instant{Mono: int64(now.Sub(g.origin)), Wall: now.UnixNano()}
}

// pipes is a listener whose connections are net.Pipes: without any buffer, so that whoever does not read stalls whoever
// writes, and with deadlines that go by the time of a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	from   atomic.Int64 // the remote address of further connections
}

// remote makes further connections come from the host of a number.
func (p *pipes) remote(host int) { p.from.Store(int64(host)) }

// pipeFrom is a pipe that has a remote address.
type pipeFrom struct {
	net.Conn
	remote net.Addr
}

func (p pipeFrom) RemoteAddr() net.Addr { return p.remote }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return pipeFrom{conn, &net.TCPAddr{IP: net.IPv4(10, 0, 0, byte(p.from.Load())), Port: 1}}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// world is a server with the real table behind it, in a bubble.
type world struct {
	t       *testing.T
	table   *shard.Table
	gateway *tickingGateway
	api     *api
	server  *Server
	pipes   *pipes
	served  chan error
	down    sync.Once
}

// inWorld runs f in a bubble with a world, half a tick after the streams that begin at once; so what f does falls between
// two ticks. When f returns, every goroutine must end.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(table Table, gw Gateway, info Info) *api { return New(table, gw, info, quietLog()).(*api) })
		t.Cleanup(w.shutdown)
		f(t, w)
	})
}

func newWorld(t *testing.T, handler func(Table, Gateway, Info) *api) *world {
	info := testInfo()
	w := &world{
		t:       t,
		table:   shard.New(shard.Config{MaxEngines: 10_000, History: 10, Rules: info.Rules}),
		gateway: &tickingGateway{origin: time.Now().Add(-time.Minute)},
		pipes:   &pipes{conns: make(chan net.Conn), closed: make(chan struct{})},
		served:  make(chan error, 1),
	}
	w.api = handler(w.table, w.gateway, info)
	w.server = on(w.pipes, w.api, quietLog(), defaultLimits())
	go func() { w.served <- w.server.Serve() }()
	return w
}

// shutdown stops the server and waits for what is left to end.
func (w *world) shutdown() {
	w.down.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			w.t.Errorf("shutdown: %v", err)
		}
		if err := <-w.served; err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	settle(time.Second)
}

var worldSource = netip.MustParseAddrPort("10.0.0.7:40000")

// apply applies the n-th state of an engine now.
func (w *world) apply(id string, n int64) {
	w.t.Helper()
	s := engineState(id, n)
	if outcome := w.table.Apply(&s, worldSource, w.gateway.Now()); outcome&state.Applied == 0 {
		w.t.Fatalf("%s, state %d: %b", id, n, outcome)
	}
}

// beat applies a heartbeat.
func (w *world) beat(id string, n int64) {
	w.t.Helper()
	s := state.State{EngineID: id, TimestampMs: 1_755_532_567_000 + n, SchedulingMode: "latency_optimized", KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1}
	if outcome := w.table.Apply(&s, worldSource, w.gateway.Now()); outcome&state.Heartbeat == 0 {
		w.t.Fatalf("%s, heartbeat %d: %b", id, n, outcome)
	}
}

// figure returns the value of one of the gateway's series.
func (w *world) figure(series string) float64 {
	w.t.Helper()
	for line := range strings.Lines(get(w.t, w.api, "/metrics").Body.String()) {
		if value, ok := strings.CutPrefix(line, namespace+"_"+series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return v
		}
	}
	w.t.Fatalf("no series %s", series)
	return 0
}

// settle lets d pass and everybody finish what there is to do.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// sent is an event as a client reads it.
type sent struct {
	name, retry, id, data string
	at                    time.Time
	size                  int // bytes, all lines
}

// stream is a client's side of /v1/watch.
type stream struct {
	conn     net.Conn
	response *http.Response
	lines    *bufio.Reader

	mu     sync.Mutex
	events []sent
	err    error
}

// ask opens a connection, asks for a target and returns the answer's beginning.
func (w *world) ask(method, target string) *stream {
	w.t.Helper()
	ours, theirs := net.Pipe()
	w.pipes.conns <- theirs // when the server accepts it
	if _, err := fmt.Fprintf(ours, "%s %s HTTP/1.1\r\nHost: gateway\r\n\r\n", method, target); err != nil {
		w.t.Fatal(err)
	}
	request, err := http.NewRequest(method, target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(ours), request)
	if err != nil {
		w.t.Fatal(err)
	}
	return &stream{conn: ours, response: response, lines: bufio.NewReader(response.Body)}
}

// watch opens a stream that is read by a goroutine of its own.
func (w *world) watch(query string) *stream {
	w.t.Helper()
	s := w.open(query)
	go s.follow()
	synctest.Wait()
	return s
}

// open opens a stream that nobody reads yet.
func (w *world) open(query string) *stream {
	w.t.Helper()
	s := w.ask(http.MethodGet, "/v1/watch"+query)
	if s.response.StatusCode != http.StatusOK || s.response.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("%s %v", s.response.Status, s.response.Header)
	}
	return s
}

func (s *stream) follow() {
	for {
		e, err := s.read()
		s.mu.Lock()
		if err != nil {
			s.err = err
			s.mu.Unlock()
			return
		}
		s.events = append(s.events, e)
		s.mu.Unlock()
	}
}

// read reads one event. It takes nothing that a strict reader of the format would not.
func (s *stream) read() (e sent, err error) {
	for first := true; ; first = false {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			if first && line == "" && err == io.EOF {
				return e, io.EOF // between two events
			}
			return e, fmt.Errorf("in the middle of an event: %w", err)
		}
		e.size += len(line)
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n":
			e.at = time.Now()
			return e, nil
		case ok && name == "event" && first:
			e.name = value
		case ok && name == "retry" && e.name == "snapshot" && e.retry == "" && e.id == "":
			e.retry = value
		case ok && name == "id" && e.id == "" && e.data == "":
			e.id = value
		case ok && name == "data" && e.data == "":
			e.data = value
		default:
			return e, fmt.Errorf("line %q after %+v", line, e)
		}
	}
}

// drain returns what has come since the last call.
func (s *stream) drain() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

func (s *stream) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func names(events []sent) (all []string) {
	for _, e := range events {
		all = append(all, e.name)
	}
	return all
}

// wireEvent is the data of a snapshot or update.
type wireEvent[T any] struct {
	Revision     *uint64      `json:"revision"`
	ServerTimeMs *int64       `json:"server_time_ms"`
	States       map[string]T `json:"states"`
	More         bool         `json:"more"`
}

type wireRemoved struct {
	Revision  *uint64  `json:"revision"`
	EngineIDs []string `json:"engine_ids"`
	More      bool     `json:"more"`
}

type wireBookmark struct {
	Revision     *uint64 `json:"revision"`
	ServerTimeMs *int64  `json:"server_time_ms"`
}
