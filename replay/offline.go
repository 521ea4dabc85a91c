package replay

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// Offline takes a capture through a gateway's own rules, from bytes to states and log, without sockets and as fast as it
// goes. Datagrams arrive when they were captured, and the gateway's time is the capture's: what is held, counted and
// logged is a function of the capture and the settings. Between two calls of RunTo it holds what a router would have been
// told at that time. For one goroutine.
type Offline struct {
	source  *Steadied
	gateway *gateway.Offline
	began   bool
	start   int64 // captured time of the first datagram, Unix ns
	next    Datagram
	read    bool  // next is to be taken
	err     error // the source's, io.EOF too, or the log's; nothing is read after it
}

// OfflineSettings are the gateway's settings that have a meaning without sockets. Begin with DefaultOfflineSettings.
type OfflineSettings struct {
	StaleThreshold time.Duration
	SenderClock    bool // ages go by the states' timestamps, as with CLOCK=sender
	HeartbeatMerge bool
	Broadcast      bool // NETWORK_MODE: engines send to the subnet
	MaxDatagram    int  // bytes
	RemoveAfter    time.Duration
	History        int // states kept of each engine
	MaxEngines     int
	Log            io.Writer // of the state log; nil is no log
}

// DefaultOfflineSettings returns the gateway's own defaults, without a log.
func DefaultOfflineSettings() OfflineSettings {
	s, _, err := config.Flags{}.Resolve()
	if err != nil {
		panic(err) // a default that is not allowed: a test of package config says so
	}
	return OfflineSettings{StaleThreshold: s.StaleThreshold, SenderClock: s.SenderClock, HeartbeatMerge: s.HeartbeatMerge,
		MaxDatagram: s.MaxDatagram, RemoveAfter: s.RemoveAfter, History: s.History, MaxEngines: s.MaxEngines}
}

func (s OfflineSettings) gateway() *gateway.Offline {
	mode := config.Unicast
	if s.Broadcast {
		mode = config.Broadcast
	}
	return gateway.NewOffline(config.Settings{NetworkMode: mode, StaleThreshold: s.StaleThreshold, SenderClock: s.SenderClock,
		HeartbeatMerge: s.HeartbeatMerge, MaxDatagram: s.MaxDatagram, RemoveAfter: s.RemoveAfter, History: s.History,
		MaxEngines: s.MaxEngines}, s.Log)
}

// NewOffline returns an Offline at the start of source, which is its own from now on. Nothing has been read.
func NewOffline(source Source, s OfflineSettings) *Offline {
	return &Offline{source: Steady(source), gateway: s.gateway()}
}

// Start returns when the first datagram was captured. The error is as Run's; of an empty capture it is io.EOF.
func (o *Offline) Start() (time.Time, error) {
	if !o.began && !o.peek() {
		return time.Time{}, o.err
	}
	return time.Unix(0, o.start), nil
}

// Ended reports whether the capture has no more datagrams.
func (o *Offline) Ended() bool { return !o.peek() }

// Now returns the captured time up to which it has run.
func (o *Offline) Now() time.Time { return time.Unix(0, o.gateway.Now().Wall) }

// Run runs to the end of the capture. The error says why there was no end of it, or why the log could not be written;
// what came before it stands.
func (o *Offline) Run() error {
	for o.peek() {
		o.take()
	}
	return o.pause()
}

// RunTo runs until a captured time: what arrived by then has been taken, and nothing later. Time does not go back: nothing
// happens when it is later already. With the end of the capture time goes on, in silence. The error is as Run's.
func (o *Offline) RunTo(t time.Time) error {
	until := unixNano(t)
	for o.peek() && unixNano(o.next.Time) <= until {
		o.take()
	}
	if o.began && until > max(o.start, o.gateway.Now().Wall) {
		o.gateway.Advance(o.instant(until))
	}
	return o.pause()
}

// peek makes sure that there is a next datagram, or returns false.
func (o *Offline) peek() bool {
	if !o.read && o.err == nil {
		o.next, o.err = o.source.Next()
		o.read = o.err == nil
		if o.read && !o.began {
			o.began, o.start = true, unixNano(o.next.Time)
		}
	}
	return o.read && o.err == nil
}

// take takes the next datagram through the gateway, and returns what became of its state, or 0 if it holds none.
func (o *Offline) take() state.Outcome {
	d := &o.next
	o.read = false
	outcome, err := o.gateway.Take(gateway.Arrival{At: o.instant(unixNano(d.Time)), Payload: d.Payload, Source: d.Source,
		Broadcast: isBroadcast(d.Destination.Addr())})
	if err != nil {
		o.err = err
	}
	return outcome
}

// instant returns a captured time as the gateway's clocks show it.
func (o *Offline) instant(wall int64) state.Instant {
	return state.Instant{Mono: wall - o.start, Wall: wall}
}

// unixNano returns a time as Unix ns. One outside the years 1970 to 2262, which no gateway's clock shows, is taken for
// the nearest within.
func unixNano(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// isBroadcast tells a broadcast address by its looks, since a capture does not have the networks' masks: nearly all
// broadcast addresses end in 255, and nearly no host's does.
func isBroadcast(a netip.Addr) bool {
	a = a.Unmap()
	return a.Is4() && a.As4()[3] == 255
}

// pause writes the log out and returns the error that there is.
func (o *Offline) pause() error {
	if err := o.gateway.Flush(); err != nil {
		return fmt.Errorf("state log: %w", err)
	}
	if o.err == io.EOF {
		return nil
	}
	return o.err
}

// Engine is what is held of one engine.
type Engine struct {
	state.Held // State in it is what a router is told
	Status     state.Status
}

// Engines returns every engine that is held now, sorted by engine_id.
func (o *Offline) Engines() []Engine {
	rules, now := o.gateway.Rules(), o.gateway.Now()
	var engines []Engine
	o.gateway.Table().Range(func(h *state.Held) bool {
		engines = append(engines, Engine{*h, h.Status(now, &rules)})
		return true
	})
	slices.SortFunc(engines, func(a, b Engine) int { return cmp.Compare(a.EngineID, b.EngineID) })
	return engines
}

// History returns the last states applied to an engine, oldest first, at most limit of them and no more than are kept,
// as they were sent.
func (o *Offline) History(engineID string, limit int) (records []state.Record, ok bool) {
	return o.gateway.Table().History(engineID, limit)
}

// Statistics are a gateway's counters.
type Statistics = gateway.Statistics

// Statistics returns the counters now. There are no sockets in them.
func (o *Offline) Statistics() Statistics { return o.gateway.Statistics() }
