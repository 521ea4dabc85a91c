package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// limits are what one client can take of the server.
type limits struct {
	readHeader  time.Duration
	read        time.Duration
	write       time.Duration
	idle        time.Duration
	connections int
	sendBuffer  int // bytes asked of the kernel
	header      int // bytes
}

// sendBuffer is how many bytes are asked of the kernel for each connection.
const sendBuffer = 128 << 10

// healthConnections is how many connections the health address takes: those of a kubelet and some scrapers.
const healthConnections = 64

// defaultLimits are generous to honest clients and finite to others.
func defaultLimits() limits {
	return limits{
		readHeader: 5 * time.Second,
		read:       10 * time.Second, // no request has a body
		// 1,000 engines are 300 KB: a reader of 10 KB/s just gets them.
		write: 30 * time.Second,
		// Longer than a scrape interval's usual 15 s, short enough that idle connections do not keep others out.
		idle: 60 * time.Second,
		// Half of them for those who watch (maxWatchers), and as many for those who poll, scrape and probe; see connections.
		connections: 1024,
		// A state is worth little when it is old: what the client does not take is better kept here, where it is put
		// together with what comes after it, than in the kernel, which would take 4 MB for each. The kernel doubles
		// the figure for its own overhead.
		sendBuffer: sendBuffer,
		// The longest engine_id is 768 bytes when every byte is escaped; proxies add cookies and traces.
		header: 16 << 10,
	}
}

// Server serves a handler on one TCP address. Shutdown may be called from any goroutine.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Listen binds the address, such as ":8080", and returns the server, which does not answer before Serve. The error
// tells an address that is taken (EADDRINUSE) from one that is not local (EADDRNOTAVAIL).
func Listen(address string, handler http.Handler, log *slog.Logger) (*Server, error) {
	return listen(address, handler, log, defaultLimits())
}

// On returns the server for an address that is bound already; it closes the listener.
func On(listener net.Listener, handler http.Handler, log *slog.Logger) *Server {
	return on(listener, handler, log, defaultLimits())
}

func listen(address string, handler http.Handler, log *slog.Logger, l limits) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return on(listener, handler, log, l), nil
}

func on(listener net.Listener, handler http.Handler, log *slog.Logger, l limits) *Server {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{}, []string{"result"}) // which nobody looks at
	a, ok := handler.(*api)
	if ok {
		results = a.metrics.connectionsOf("http")
	} else if h, ok := handler.(*health); ok {
		results = h.api.metrics.connectionsOf("health")
		l.connections = healthConnections
	}
	connections := newConnections(l.connections, log, results)
	server := &http.Server{
		Handler:           connections.heard(handler),
		ConnContext:       connections.connContext,
		ConnState:         connections.connState,
		ReadHeaderTimeout: l.readHeader,
		ReadTimeout:       l.read,
		WriteTimeout:      l.write,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.header,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if ok {
		server.RegisterOnShutdown(a.hub.stop) // streams do not end by themselves
	}
	return &Server{http: server, listener: smallBuffers{listener, l.sendBuffer}}
}

// smallBuffers gives each connection a small send buffer.
type smallBuffers struct {
	net.Listener
	bytes int
}

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetWriteBuffer(l.bytes) // without it everything works, in more memory
	}
	return conn, err
}

// Addr returns the address that is bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until Shutdown is called, and then returns nil at once; any other end is an error.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown takes no new requests and waits for those under way. When ctx ends first, it cuts them off and returns
// ctx's error. The address is free afterwards, whether Serve was called or not.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	_ = s.listener.Close()
	return err
}
