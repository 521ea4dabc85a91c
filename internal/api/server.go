package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// limits are what one client can take of the server.
type limits struct {
	readHeader  time.Duration
	read        time.Duration
	write       time.Duration
	idle        time.Duration
	connections int
	header      int // bytes
}

// defaultLimits are generous to honest clients and finite to others.
func defaultLimits() limits {
	return limits{
		readHeader: 5 * time.Second,
		read:       10 * time.Second, // no request has a body
		// 1,000 engines are 300 KB: a reader of 10 KB/s just gets them.
		write: 30 * time.Second,
		// Longer than a scrape interval's usual 15 s, short enough that idle connections do not keep others out.
		idle: 60 * time.Second,
		// A thousand readers, and a few probes besides; further ones wait for one to close.
		connections: 1024,
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
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: l.readHeader,
		ReadTimeout:       l.read,
		WriteTimeout:      l.write,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.header,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if a, ok := handler.(*api); ok {
		server.RegisterOnShutdown(a.hub.stop) // streams do not end by themselves
	}
	return &Server{http: server, listener: netutil.LimitListener(listener, l.connections)}
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
