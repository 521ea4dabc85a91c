package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/doctor"
)

type doctorCommand struct {
	config.Flags
	URL  *gatewayURL   `name:"url" placeholder:"http://127.0.0.1:8080" help:"The gateway to ask; by default the one at the HTTP address."`
	For  time.Duration `default:"3s" help:"How long to watch what arrives."`
	JSON bool          `name:"json" help:"Write the findings as JSON."`
}

// Validate refuses what kong, which calls it, lets through.
func (c *doctorCommand) Validate() error {
	if c.For <= 0 {
		return errors.New("--for must be more than 0")
	}
	return nil
}

// errProblems ends the command with the code of a failure; the findings have said it all.
var errProblems = &exitError{exitFailed, errors.New("there are problems")}

// Run looks at everything and prints what it finds. It fails if something is a problem.
func (c *doctorCommand) Run(command *kong.Context) error {
	settings, _, err := c.Resolve()
	if err != nil {
		return err
	}
	cfg := doctor.Config{Settings: settings, Unknown: config.UnknownNames(os.Environ()), Place: doctor.Look(os.Getenv, settings.LogFile), For: c.For}
	cfg.URL = "http://" + reachable(settings.HTTPAddress)
	if c.URL != nil {
		cfg.URL = c.URL.String()
	}
	flags := givenFlags(command)
	for _, v := range settings.Values() {
		if from := source(v, flags); from != fromDefault {
			cfg.Given = append(cfg.Given, doctor.Given{Variable: v.Variable, Text: v.Text, Source: from})
		}
	}
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	findings := doctor.Examine(doctor.Gather(ctx, cfg))
	write := doctor.WriteText
	if c.JSON {
		write = doctor.WriteJSON
	}
	if err := write(os.Stdout, findings); err != nil {
		return err
	}
	if doctor.Problems(findings) {
		return errProblems
	}
	return nil
}
