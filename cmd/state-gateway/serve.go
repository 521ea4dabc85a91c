package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/term"

	"github.com/elrar/state-gateway/internal/config"
)

type serveCommand struct {
	config.Flags
}

// Run serves until a signal or a failure.
func (c *serveCommand) Run() error {
	settings, warnings, err := c.Resolve()
	if err != nil {
		return err
	}
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		warnings = append(warnings, fmt.Sprintf("LISTEN_PID=%s: the passed sockets are another process's and not used; this one is %d", oneLine(pid), os.Getpid()))
	}
	passed, err := takePassed(activation.Files(true), settings.NetworkMode)
	if err != nil {
		return err
	}
	settings, more := settings.Passed(c.Flags, passed.udpAddresses(), passed.httpAddress())
	warnings = append(warnings, more...)
	messages := newMessageWriter(os.Stderr)
	log := newLogger(settings, messages)
	defer func() {
		if n := messages.dropped.Load(); n > 0 {
			log.Warn("messages that nobody read were dropped", "messages", n)
		}
		messages.flush()
	}()
	for _, u := range config.UnknownNames(os.Environ()) {
		log.Warn("unknown setting", "name", u.Name, "nearest", u.Nearest)
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	fitMemory(settings, log)
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	return serve(ctx, settings, log, messages, passed)
}

// newLogger returns the log of the gateway's own messages, which go to standard error by way of w.
func newLogger(s config.Settings, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.MessageLevel}
	if s.MessageFormat == "text" || s.MessageFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
