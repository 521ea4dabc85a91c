package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/internal/api"
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/doctor"
	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/state"
)

// httpGrace is how long answers under way may take after everything else has stopped.
const httpGrace = time.Second

// service is a gateway with its HTTP side, both bound.
type service struct {
	gateway *gateway.Gateway
	http    *api.Server
	health  *api.Server // or nil
	log     *slog.Logger
}

// newService binds the UDP port and the HTTP address, or takes passed sockets in their place. What it says goes to log, and
// by way of messages to whoever reads. An error names the setting that cannot be served.
func newService(s config.Settings, log *slog.Logger, messages *messageWriter, passed passedSockets) (*service, error) {
	g, err := gateway.New(s, log, passed.udp...)
	if _, ok := errors.AsType[*gateway.LogFileError](err); ok {
		return nil, logFileError(s, err)
	} else if err != nil {
		return nil, unavailable(fmt.Errorf("VLLM_STATE_GATEWAY_UDP_PORT=%d, VLLM_STATE_GATEWAY_BIND_ADDRESS=%v: %w", s.UDPPort, s.BindAddress, err),
			doctor.BindTrouble(err, "udp", netip.AddrPortFrom(s.BindAddress, s.UDPPort), doctor.Look(os.Getenv, "")))
	}
	v, r := build()
	handler := api.New(g.Table(), g, api.Info{
		NetworkMode:     string(s.NetworkMode),
		BindAddress:     s.BindAddress.String(),
		UDPPort:         int(g.UDPAddress().Port()),
		Rules:           g.Rules(),
		EngineMetrics:   s.EngineMetrics,
		Memory:          debug.SetMemoryLimit(-1),
		Started:         g.Now(),
		Version:         v,
		Revision:        r,
		MessagesDropped: messages.dropped.Load,
	}, log)
	svc := &service{gateway: g, log: log}
	if passed.http != nil {
		svc.http = api.On(passed.http, handler, log)
	} else if svc.http, err = listen("HTTP_ADDRESS", s.HTTPAddress, handler, log); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if s.HealthAddress == "" {
		return svc, nil
	}
	if svc.health, err = listen("HEALTH_ADDRESS", s.HealthAddress, api.Health(handler), log); err != nil {
		return nil, errors.Join(err, svc.http.Shutdown(context.Background()), g.Close())
	}
	return svc, nil
}

// listen binds the address that a setting gives; the error says what is wrong with it.
func listen(setting, address string, handler http.Handler, log *slog.Logger) (*api.Server, error) {
	server, err := api.Listen(address, handler, log)
	if err != nil {
		return nil, unavailable(fmt.Errorf("%s%s=%s: %w", config.Prefix, setting, address, err), httpTrouble(err, address))
	}
	return server, nil
}

// logFileError makes an error of a state log's file: the setting is wrong if the file is no state log.
func logFileError(s config.Settings, err error) error {
	err = fmt.Errorf("VLLM_STATE_GATEWAY_LOG_FILE=%s: %w", s.LogFile, err)
	if _, foreign := errors.AsType[*journal.ForeignError](err); foreign {
		return &exitError{exitConfig, err}
	}
	return unavailable(err, "")
}

// unavailable makes an error that ends the process with the code for "cannot serve".
func unavailable(err error, explanation string) error {
	if explanation != "" {
		err = fmt.Errorf("%w: %s", err, explanation)
	}
	return &exitError{exitUnavailable, err}
}

// httpTrouble explains why an HTTP address, whose host may be empty or a name, could not be bound.
func httpTrouble(err error, address string) string {
	host, port, _ := net.SplitHostPort(address) // which config has checked
	ip, _ := netip.ParseAddr(host)
	n, _ := strconv.ParseUint(port, 10, 16)
	return doctor.BindTrouble(err, "tcp", netip.AddrPortFrom(ip, uint16(n)), doctor.Look(os.Getenv, ""))
}

// httpAddress returns where the HTTP side listens.
func (s *service) httpAddress() netip.AddrPort {
	return netip.MustParseAddrPort(s.http.Addr().String())
}

// run receives and answers until ctx is done or one of both fails. HTTP goes on while the gateway drains, so that
// routers see that it is stopping; it ends last.
func (s *service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	servers := []*api.Server{s.http}
	if s.health != nil {
		servers = append(servers, s.health) // the last: probes see the stop to its end
	}
	for _, server := range servers {
		group.Go(server.Serve)
	}
	group.Go(func() error {
		err := s.gateway.Run(ctx)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpGrace)
		defer cancel()
		for _, server := range servers {
			if server.Shutdown(grace) != nil {
				s.log.Info("HTTP answers under way were cut off")
			}
		}
		return err
	})
	return group.Wait()
}

// serve runs the gateway until ctx ends, and keeps the service manager informed, if there is one.
func serve(ctx context.Context, settings config.Settings, log *slog.Logger, messages *messageWriter, passed passedSockets) error {
	place := doctor.Look(os.Getenv, settings.LogFile)
	if err := doctor.TooLarge(settings, place); err != nil {
		return &exitError{exitConfig, err}
	}
	hangups := make(chan os.Signal, 1) // before there is anything to reopen: it must not end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	s, err := newService(settings, log, messages, passed)
	if err != nil {
		return err
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				notifyReloading(log, s.gateway.ReopenLog)
			}
		}
	}()
	for _, f := range doctor.Foresee(settings, place) {
		if f.Level == doctor.Problem {
			log.Warn(f.Saw, "remedy", f.Do)
		}
	}
	v, _ := build()
	logFile := settings.LogFile
	if !settings.EnableLog {
		logFile = "off"
	}
	health := "off"
	if s.health != nil {
		health = s.health.Addr().String()
	}
	log.Info("state gateway started", "version", v, "network_mode", string(settings.NetworkMode),
		"udp", s.gateway.UDPAddress().String(), "sockets", len(s.gateway.Statistics().Sockets),
		"http", s.http.Addr().String(), "health", health, "state_log", logFile, "stale_threshold", settings.StaleThreshold.String())
	notifyReady(log, s.gateway.UDPAddress())
	running, ended := context.WithCancel(context.Background())
	defer ended()
	go s.report(running)
	stop := context.AfterFunc(ctx, func() {
		log.Info("stopping", "cause", context.Cause(ctx).Error())
		notifyStopping(log, context.Cause(ctx))
	})
	defer stop()
	err = s.run(ctx)
	logFinalFigures(log, s.gateway.Statistics())
	return err
}

// logFinalFigures says in one message what became of every datagram.
func logFinalFigures(log *slog.Logger, s gateway.Statistics) {
	var dropped uint64
	for _, socket := range s.Sockets {
		dropped += socket.KernelDropped
	}
	var rejected []any
	for reason := state.Accepted + 1; int(reason) < state.Reasons; reason++ {
		rejected = append(rejected, slog.Uint64(reason.String(), s.Rejected[reason]))
	}
	log.Info("final figures", "received", s.Received, "applied", s.Applied, "duplicate", s.Duplicate,
		"out_of_order", s.OutOfOrder,
		"clock_reset", s.ClockReset, "heartbeats", s.Heartbeats, "removed", s.Removed, "replaced", s.Replaced, slog.Group("rejected", rejected...), "kernel_dropped", dropped,
		"logged", s.Log.Written, "log_dropped", s.Log.Dropped(), "log_queued", s.Log.Queued, "read_errors", s.ReadErrors)
}
