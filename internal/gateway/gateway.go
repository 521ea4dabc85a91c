package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/engine"
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

const (
	// slowestAgent is the longest interval in which a living agent sends something: a heartbeat every 2 s, and slack.
	slowestAgent = 2500 * time.Millisecond

	// endLimit is how long the end may take once nothing is received any more: writing out a full queue takes a slow disk
	// a second, and its sync as long. A disk that is slower, or a file system that does not answer at all (a dead
	// server's), is not waited for.
	endLimit = 4 * time.Second

	// deafLimit is how long a reader may be failing before the gateway counts as not alive.
	deafLimit = 5 * time.Second
)

// Gateway is a gateway with bound sockets. New makes it, Run runs it. Its other methods are safe from any goroutine,
// during Run and after it.
type Gateway struct {
	settings config.Settings
	rules    state.Rules
	log      *slog.Logger
	started  time.Time // the origin of its instants

	engine    *engine.Engine
	table     *shard.Table
	journal   *journal.Journal // nil with the log off
	pipelines []*pipeline
	notices   *notices
	intruders atomic.Int64 // other processes' sockets on the UDP port
	stopping  atomic.Bool
}

// LogFileError says that the state log's file is another process's or no state log.
type LogFileError struct {
	Err error // a *journal.HeldError or a *journal.ForeignError
}

func (e *LogFileError) Error() string { return e.Err.Error() }
func (e *LogFileError) Unwrap() error { return e.Err }

// New binds the UDP sockets, or takes those that somebody else has bound, and opens the state log. An error is the
// sockets' or a *LogFileError, and means that nothing is left open.
func New(settings config.Settings, log *slog.Logger, sockets ...*net.UDPConn) (*Gateway, error) {
	e, err := engine.Listen(engine.Config{
		Address:       settings.BindAddress,
		Port:          settings.UDPPort,
		Workers:       settings.Workers,
		BatchSize:     settings.BatchSize,
		MaxDatagram:   settings.MaxDatagram,
		ReceiveBuffer: settings.ReceiveBuffer,
		Broadcast:     settings.NetworkMode == config.Broadcast,
		Sockets:       sockets,
	})
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		settings: settings,
		rules:    rulesOf(settings),
		log:      log,
		started:  time.Now(),
		engine:   e,
		table:    newTable(settings),
		notices:  newNotices(log),
	}
	if settings.EnableLog {
		g.journal, err = journal.New(journal.Config{
			Path:         settings.LogFile,
			Appenders:    e.Workers(),
			Log:          log,
			Mode:         settings.LogMode,
			SyncInterval: settings.LogSyncInterval,
			MinFree:      int64(settings.LogMinFree),
			MaxSize:      int64(settings.LogMaxSize),
			Keep:         settings.LogKeep,
			Compress:     journal.Compression(settings.LogCompress),
		})
		if err != nil {
			e.Close()
			return nil, &LogFileError{err}
		}
	}
	for i := range e.Workers() {
		p := &pipeline{origin: g.started, decoder: decode.New(), table: g.table, notices: g.notices}
		if g.journal != nil {
			p.log = g.journal.Appender(i)
		}
		g.pipelines = append(g.pipelines, p)
	}
	return g, nil
}

// rulesOf returns the rules that the settings ask for.
func rulesOf(s config.Settings) state.Rules {
	return state.Rules{
		StaleThreshold: s.StaleThreshold,
		SenderClock:    s.SenderClock,
		HeartbeatMerge: s.HeartbeatMerge,
		WatchSources:   s.NetworkMode == config.Unicast,
	}
}

// newTable returns an empty table as large as the settings allow.
func newTable(s config.Settings) *shard.Table {
	return shard.New(shard.Config{MaxEngines: s.MaxEngines, History: s.History, Rules: rulesOf(s)})
}

// Close releases what a gateway that is not going to run has open. Run does it itself.
func (g *Gateway) Close() error {
	err := g.engine.Close()
	if g.journal != nil {
		err = errors.Join(err, g.journal.Close())
	}
	return err
}

// ReopenLog makes the state log go on in whatever file is at its path, which it otherwise finds out by itself a little
// later.
func (g *Gateway) ReopenLog() {
	if g.journal != nil {
		g.journal.Reopen()
	}
}

// Degraded returns why states are missing from the state log at present, or "" while they are not.
func (g *Gateway) Degraded() string {
	if g.journal == nil {
		return ""
	}
	return g.journal.Trouble()
}

// UDPAddress returns the address that engines send to.
func (g *Gateway) UDPAddress() netip.AddrPort { return g.engine.Address() }

// Table returns the table of the newest states.
func (g *Gateway) Table() *shard.Table { return g.table }

// Rules returns the rules that statuses go by.
func (g *Gateway) Rules() state.Rules { return g.rules }

// Now returns the present instant, for ages.
func (g *Gateway) Now() state.Instant {
	now := time.Now()
	return state.Instant{Mono: int64(now.Sub(g.started)), Wall: now.UnixNano()}
}

// Run receives until ctx is done, then drains: what the kernel has queued is still applied, what was applied is
// written and synced. It returns nil after a clean stop, or the error that ended it.
func (g *Gateway) Run(ctx context.Context) error {
	g.warnOfSmallBuffers()
	g.sayDroppedBefore()

	// The helpers outlive the readers: each stops only when nothing can come from the front any more.
	behind, stopBehind := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBehind()
	var helpers errgroup.Group
	helpers.Go(func() error { g.notices.run(behind); return nil })
	helpers.Go(func() error { g.sweep(behind); return nil })
	helpers.Go(func() error { g.watchPort(ctx); return nil })
	helpers.Go(func() error { newAdvisor(g.table, &g.rules, g.log).run(behind, g.Now); return nil })
	if g.journal != nil {
		helpers.Go(func() error {
			if err := g.journal.Run(behind); err != nil {
				return fmt.Errorf("state log: %w", err)
			}
			return nil
		})
	}

	stop := context.AfterFunc(ctx, func() { g.stopping.Store(true) })
	defer stop()
	err := g.engine.Run(ctx, func(reader int) engine.Handler { return g.pipelines[reader] })
	g.stopping.Store(true)
	err = errors.Join(err, g.engine.Close())
	stopBehind()
	ended := make(chan error, 1)
	go func() { ended <- helpers.Wait() }()
	select {
	case helpersErr := <-ended:
		return errors.Join(err, helpersErr)
	case <-time.After(endLimit):
		return errors.Join(err, g.unfinished())
	}
}

// unfinished says what is wrong with an end that was not waited for. Only the log can be slow: its lines that are not
// written are lost with the process; those that are written, with the power only.
func (g *Gateway) unfinished() error {
	if g.journal == nil {
		return fmt.Errorf("not ended within %v", endLimit)
	}
	return unfinished(g.journal.Counters())
}

func unfinished(c journal.Counters) error {
	switch {
	case c.Queued > 0:
		return fmt.Errorf("state log: the disk has not taken all within %v: %d lines are lost; another %d are written, but not synced",
			endLimit, c.Queued, c.Unsynced)
	case c.Unsynced > 0:
		return fmt.Errorf("state log: the disk has not synced within %v: all lines are written, but a power failure now may take the last %d",
			endLimit, c.Unsynced)
	default:
		return fmt.Errorf("state log: not closed within %v; all lines are written and synced", endLimit)
	}
}

// sayDroppedBefore tells what nobody's kernel_dropped may have: what passed sockets dropped while no gateway read them,
// and in the time of those that did.
func (g *Gateway) sayDroppedBefore() {
	if n := g.engine.DroppedBefore(); n > 0 {
		g.log.Info("the passed sockets have dropped datagrams before this start; kernel_dropped counts from now on", "dropped_before", n)
	}
}

func (g *Gateway) warnOfSmallBuffers() {
	granted := slices.Min(g.engine.ReceiveBuffers())
	if granted < g.settings.ReceiveBuffer {
		g.log.Warn("the system grants a smaller receive buffer than asked for; bursts may be dropped",
			"asked", g.settings.ReceiveBuffer, "granted", granted,
			"remedy", fmt.Sprintf("sysctl -w net.core.rmem_max=%d, or run with CAP_NET_ADMIN", g.settings.ReceiveBuffer))
	}
}

// Ready returns nil when routers can rely on the table: every living engine has been heard since the start, and the
// gateway is not stopping. Otherwise it returns the reason.
func (g *Gateway) Ready() error {
	if g.stopping.Load() {
		return errors.New("stopping")
	}
	settle := max(g.settings.StaleThreshold, slowestAgent)
	if left := settle - time.Since(g.started); left > 0 {
		return fmt.Errorf("engines may not all have been heard for another %v", left.Round(time.Millisecond))
	}
	return g.Live()
}

// Live returns nil while every reader can receive, or the reason why the gateway is better restarted.
func (g *Gateway) Live() error { return g.engine.Live(deafLimit) }
