package api

import (
	"cmp"
	"container/list"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// connectionLogInterval is the shortest time between two messages about connections that were closed.
const connectionLogInterval = time.Minute

// connections bounds how many connections are open, and how many of one address. A newcomer is let in as long as
// another one can go for it: the oldest that has not sent a whole request yet, else the one that has been idle for
// longest. A client that finds its idle connection closed opens another. Connections in use are left alone; when there
// are no others, the newcomer is refused.
type connections struct {
	most    int // of all addresses
	share   int // of one
	log     *slog.Logger
	told    rate.Sometimes
	results *prometheus.CounterVec // by result

	mu   sync.Mutex
	all  *list.List // of *connection, the one longest in its present use first
	at   map[net.Conn]*list.Element
	from map[netip.Prefix]int
}

// use is what a connection does at present.
type use int

const (
	pending use = iota // not a whole request has come
	inUse              // a request is answered
	idle               // between two requests
)

type connection struct {
	net.Conn
	from netip.Prefix
	use  use
}

func newConnections(most int, log *slog.Logger, results *prometheus.CounterVec) *connections {
	return &connections{
		most:    most,
		share:   share(most),
		log:     log,
		told:    rate.Sometimes{Interval: connectionLogInterval},
		results: results,
		all:     list.New(),
		at:      map[net.Conn]*list.Element{},
		from:    map[netip.Prefix]int{},
	}
}

// share is how many of so many one address may have: a proxy may have nearly all of them, and leaves some to others.
func share(most int) int { return most - most/8 }

// addressOf returns whom a remote address counts as: an IPv4 address, or the 64 bits of an IPv6 one within which a host
// may have any number of others. What is neither counts as one.
func addressOf(remote string) netip.Prefix {
	at, _ := netip.ParseAddrPort(remote)
	address := at.Addr().Unmap()
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits)
	return prefix
}

type connKey struct{}

// connContext is http.Server's hook: it lets heard find the connection.
func (c *connections) connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// heard returns a handler that notes that a whole request has come, and calls next. One with a body is not whole: nobody
// reads the body, and the server waits for it after the answer.
func (c *connections) heard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok && r.ContentLength == 0 {
			c.turnTo(conn, inUse)
		}
		next.ServeHTTP(w, r)
	})
}

// connState is http.Server's hook.
func (c *connections) connState(conn net.Conn, to http.ConnState) {
	switch to {
	case http.StateNew:
		evicted, ok := c.admit(conn)
		if ok {
			c.results.WithLabelValues("accepted").Inc()
		}
		gone, result := evicted, "evicted"
		if !ok {
			gone, result = conn, "refused"
		}
		if gone == nil {
			return
		}
		_ = gone.Close()
		c.results.WithLabelValues(result).Inc()
		c.told.Do(func() {
			c.log.Warn("HTTP connections are closed to make room for others, or refused; /metrics counts them", "result", result,
				"remote", gone.RemoteAddr().String(), "most", c.most, "most_of_one_address", c.share)
		})
	case http.StateActive: // the first byte of a request
		c.turnTo(conn, pending)
	case http.StateIdle:
		c.turnTo(conn, idle)
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(conn)
	}
}

// admit takes a new connection in, for which another one may have to go, and does not when none can.
func (c *connections) admit(conn net.Conn) (evicted net.Conn, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := addressOf(conn.RemoteAddr().String())
	var among []netip.Prefix // whose connections may go, the first first
	switch {
	case c.from[from] >= c.share:
		among = []netip.Prefix{from}
	case c.all.Len() >= c.most:
		among = c.heaviest()
	}
	for _, other := range among {
		if evicted = c.dispensable(other); evicted != nil {
			break
		}
	}
	if among != nil && evicted == nil {
		return nil, false
	}
	c.forget(evicted)
	c.at[conn] = c.all.PushBack(&connection{conn, from, pending})
	c.from[from]++
	return evicted, true
}

// heaviest returns the addresses, that with the most connections first.
func (c *connections) heaviest() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(c.from), func(x, y netip.Prefix) int { return cmp.Compare(c.from[y], c.from[x]) })
}

// dispensable returns the connection of an address that can go, nil if all are in use.
func (c *connections) dispensable(from netip.Prefix) net.Conn {
	var longest net.Conn // idle
	for e := c.all.Front(); e != nil; e = e.Next() {
		switch one := e.Value.(*connection); {
		case one.from != from || one.use == inUse:
		case one.use == pending:
			return one.Conn
		case longest == nil:
			longest = one.Conn
		}
	}
	return longest
}

// turnTo notes another use of a connection. One that has sent nothing is pending from its beginning.
func (c *connections) turnTo(conn net.Conn, to use) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[conn]; e != nil && e.Value.(*connection).use != to {
		e.Value.(*connection).use = to
		c.all.MoveToBack(e)
	}
}

// forget takes a connection out of the account, if it is still in it. The caller has the lock.
func (c *connections) forget(conn net.Conn) {
	e := c.at[conn]
	if e == nil {
		return
	}
	delete(c.at, conn)
	from := c.all.Remove(e).(*connection).from
	if c.from[from]--; c.from[from] == 0 {
		delete(c.from, from)
	}
}
