package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

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
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	messages := newMessageWriter(os.Stderr)
	log := newLogger(settings, messages)
	defer func() {
		if n := messages.dropped.Load(); n > 0 {
			log.Warn("messages that nobody read in time were dropped", "messages", n)
		}
		messages.flush()
	}()
	for _, u := range config.UnknownNames(os.Environ()) {
		log.Warn("unknown setting", "name", u.Name, "nearest", u.Nearest)
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	return serve(ctx, settings, log)
}

// gcPercent is how much garbage, in percent of what lives, is let lie before it is collected. What lives is the table,
// some 90 MB of 10,000 engines with their history; nothing that receives datagrams makes garbage, so that collecting
// half as much as Go's usual 100 percent costs nothing and saves 45 MB of a small container's memory.
const gcPercent = 50

// newLogger returns the log of the gateway's own messages, which go to standard error by way of w.
func newLogger(s config.Settings, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.MessageLevel}
	if s.MessageFormat == "text" || s.MessageFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
