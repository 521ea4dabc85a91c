package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/tmaxmax/go-sse"
)

const (
	// silence is the time without an event after which a stream is broken. A bookmark comes every second at least: two
	// may be late.
	silence = 3 * time.Second

	// connectTimeout is for one address. A SYN that was lost is repeated after a second.
	connectTimeout = time.Second

	// steady is how long a stream must have stood to count as mended: one that breaks at once is none.
	steady = time.Second

	// largestEvent in bytes: an engine is about 600, and 1,200 at its longest; ten thousand are 12 MB.
	largestEvent = 32 << 20
)

func defaultTransport() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: silence,
		DisableCompression:    true,
		DisableKeepAlives:     true, // a stream is a connection's only request
	}
}

// newPauses returns the pauses between attempts: at random up to a bound that doubles from 50 to 800 ms, so that a
// thousand routers do not come back at one moment. A gateway that returns is found within two seconds.
func newPauses() *backoff.ExponentialBackOff {
	pauses := &backoff.ExponentialBackOff{InitialInterval: 25 * time.Millisecond, RandomizationFactor: 1, Multiplier: 2, MaxInterval: 400 * time.Millisecond}
	pauses.Reset()
	return pauses
}

// follower keeps one gateway's part of the table.
type follower struct {
	stream string // the URL
	client *http.Client
	log    *slog.Logger
	table  *table
	part   int

	mu     sync.Mutex
	status GatewayStatus
	said   string // the problem that was logged last; "" while there is none
}

func (f *follower) now() GatewayStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// run follows until ctx is done.
func (f *follower) run(ctx context.Context) {
	pauses := newPauses()
	for {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		f.lost(plain(err), ctx.Err() == nil)
		if time.Since(began) > silence {
			pauses.Reset()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pauses.NextBackOff()):
		}
	}
}

// errSilent is why a stream without events is left.
var errSilent = fmt.Errorf("no event for %v", silence)

// follow takes the events of one stream. It ends with an error, always.
func (f *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The limit is for a whole event, not for each read: a trickle of bytes is silence, too.
	limit := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer limit.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.stream, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Cache-Control", "no-store")
	response, err := f.client.Do(request)
	if err != nil {
		return cause(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return fmt.Errorf("it answers with %.100q, not with an event stream", response.Header.Get("Content-Type"))
	}
	body := &stamped{from: response.Body}
	var late lateness
	for event, err := range sse.Read(body, &sse.ReadConfig{MaxEventSize: largestEvent}) {
		if err != nil {
			return cause(ctx, err)
		}
		at := body.event()
		m, err := parse(event.Data, at)
		if err != nil {
			return err
		}
		if m.ServerTimeMs != nil && late.of(at, *m.ServerTimeMs) > silence {
			return fmt.Errorf("its events come more than %v late", silence)
		}
		if err := f.take(event.Type, m, at); err != nil {
			return err
		}
		limit.Reset(silence)
	}
	return cause(ctx, errors.New("the gateway ended the stream"))
}

// plain takes from a network's error the addresses, of which one is another each time: the same problem has one text.
func plain(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return fmt.Errorf("%s: %w", operation.Op, operation.Err)
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

// cause returns why ctx was cancelled in place of err, if it was.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

// take applies one event. Events of other types are of a later gateway, and show that the stream lives.
func (f *follower) take(kind string, m message, at time.Time) error {
	switch kind {
	case "snapshot":
		f.table.replace(f.part, m.States, at)
	case "update":
		f.table.update(f.part, m.States)
	case "removed":
		f.table.remove(f.part, m.EngineIDs)
	case "end":
		return fmt.Errorf("the gateway ended the stream: %.200s", m.Detail)
	}
	f.found(kind == "snapshot", at)
	return nil
}

// found notes an event, and says that the stream stands when it has done so for a while.
func (f *follower) found(snapshot bool, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.status
	s.LastEvent = at
	switch {
	case snapshot && !s.Connected:
		s.Connected, s.Problem, s.began = true, nil, at
		s.Streams++
		defer f.table.signal()
	case s.Connected && f.said != following && at.Sub(s.began) >= steady:
		f.said = following
		f.log.Info("state gateway: following it")
	}
}

// following is what is said of a stream that stands.
const following = "following it"

// lost notes that the stream broke, and why; said once for each reason in a row.
func (f *follower) lost(err error, say bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Connected, f.status.Problem = false, err
	if text := err.Error(); say && text != f.said {
		f.said = text
		f.log.Warn("state gateway: what it told grows stale", "error", text)
	}
	f.table.lose(f.part)
}

// stamped notes when bytes came.
type stamped struct {
	from        io.Reader
	first, last time.Time // of the reads since the last event; of all
}

func (s *stamped) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.last = time.Now()
	if s.first.IsZero() {
		s.first = s.last
	}
	return n, err
}

// event returns when the event that has just been read began to come, and begins the next one.
func (s *stamped) event() time.Time {
	at := s.first
	if at.IsZero() { // it came with the one before it
		at = s.last
	}
	s.first = time.Time{}
	return at
}

// lateness tells how much later a stream's events come than its most punctual one. Bookmarks that come regularly, but
// late, hide a view that is as late. A wall clock set back at the gateway looks the same, and costs one new stream.
type lateness struct {
	begin    time.Time
	earliest time.Duration
}

// of returns how late an event is that came at a moment, and was sent at another one by the gateway's wall clock.
func (l *lateness) of(at time.Time, serverTimeMs int64) time.Duration {
	if l.begin.IsZero() {
		l.begin = at
		l.earliest = -time.Duration(serverTimeMs) * time.Millisecond
	}
	difference := at.Sub(l.begin) - time.Duration(serverTimeMs)*time.Millisecond
	l.earliest = min(l.earliest, difference)
	return difference - l.earliest
}
