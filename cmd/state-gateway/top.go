package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/elrar/state-gateway/client"
	"github.com/elrar/state-gateway/internal/top"
)

type topCommand struct {
	URL string `name:"url" default:"http://127.0.0.1:8080" env:"VLLM_STATE_GATEWAY_URL" help:"The gateway's HTTP address; several, with commas between, are seen together (${default})."`
}

// reachWithin is how long the gateway has to answer when there is no terminal to wait in.
const reachWithin = 3 * time.Second

// Run shows the engines until a key or a signal ends it, or without a terminal prints them once.
func (c *topCommand) Run() error {
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	w, err := client.Watch(ctx, c.URL, client.IncludeStale())
	if err != nil {
		return usageError(fmt.Errorf("top: --url: %w", err))
	}
	if onTerminal() {
		return top.Run(ctx, w, terminal())
	}
	return top.Print(ctx, w, reachWithin, os.Stdout)
}

func terminal() top.Terminal {
	return top.Terminal{In: os.Stdin, Out: os.Stdout, Environ: os.Environ()}
}

// onTerminal reports whether there is somebody to show a screen to, and to press keys.
func onTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
}
