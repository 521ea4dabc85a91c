package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// What the service manager is told (sd_notify(3)), if there is one that listens: NOTIFY_SOCKET. It is never waited for
// beyond handing it a datagram.

// statusInterval is how often the manager gets a new status line, for people who ask it. A watchdog may want to hear
// more often.
const statusInterval = 5 * time.Second

func notify(log *slog.Logger, lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		log.Warn("the service manager was not told", "error", err.Error())
	}
}

// notifyReady says that the sockets are bound and served. It does not wait for /readyz, which is about the engines:
// what needs the gateway may start now, and finds out there when the table is whole.
func notifyReady(log *slog.Logger, udp netip.AddrPort) {
	notify(log, daemon.SdNotifyReady, fmt.Sprintf("STATUS=receives at %v", udp))
}

// notifyReloading says that reload begins, runs it, and says that it is done.
func notifyReloading(log *slog.Logger, reload func()) {
	notify(log, daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	reload()
	notify(log, daemon.SdNotifyReady)
}

func notifyStopping(log *slog.Logger, cause error) {
	notify(log, daemon.SdNotifyStopping, "STATUS=stopping: "+oneLine(cause.Error()))
}

// report tells the manager from time to time how the service does, and keeps its watchdog quiet while every reader can
// receive, until ctx is done.
func (s *service) report(ctx context.Context) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	interval := statusInterval
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("no watchdog", "error", err.Error())
	}
	if watchdog > 0 {
		interval = min(interval, watchdog/2)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for last, at := s.gateway.Statistics(), time.Now(); ; {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
		statistics := s.gateway.Statistics()
		rate := float64(statistics.Received-last.Received) / now.Sub(at).Seconds()
		lines := []string{"STATUS=" + statusLine(s.gateway.Ready(), s.gateway.Degraded(), statistics, rate)}
		if watchdog > 0 && s.gateway.Live() == nil {
			lines = append(lines, daemon.SdNotifyWatchdog)
		}
		notify(s.log, lines...)
		last, at = statistics, now
	}
}

// statusLine says in one line how a gateway does that receives so many datagrams a second.
func statusLine(ready error, degraded string, s gateway.Statistics, rate float64) string {
	begin := "ready"
	switch {
	case ready != nil:
		begin = "not ready: " + ready.Error()
	case degraded != "":
		begin = "ready, but states are missing from the state log: " + degraded
	}
	engines, dropped := 0, uint64(0)
	for _, n := range s.Engines {
		engines += n
	}
	for _, socket := range s.Sockets {
		dropped += socket.KernelDropped
	}
	return oneLine(fmt.Sprintf("%s; %d engines, %d of them stale; %.0f datagrams/s; dropped by the kernel: %d",
		begin, engines, s.Engines[state.Stale], rate, dropped))
}
