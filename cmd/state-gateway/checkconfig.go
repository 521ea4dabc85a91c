package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/doctor"
	"github.com/elrar/state-gateway/journal"
)

type checkConfigCommand struct {
	config.Flags
}

// Run prints the settings in force, and fails if one has a bad value, a variable is unknown, or the gateway would not start.
func (c *checkConfigCommand) Run(command *kong.Context) error {
	settings, warnings, err := c.Resolve()
	if err != nil {
		return err
	}
	given := givenFlags(command)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, v := range settings.Values() {
		fmt.Fprintf(out, "%s = %s\t(%s)\n", v.Variable, oneLine(v.Text), source(v, given))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	place := doctor.Look(os.Getenv, settings.LogFile)
	tooLarge := doctor.TooLarge(settings, place)
	for _, f := range doctor.Foresee(settings, place) {
		if f.Level == doctor.Problem && (f.About != "memory" || tooLarge == nil) {
			warnings = append(warnings, f.Saw+"; "+f.Do)
		}
	}
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, "state-gateway: warning:", w)
	}
	var bad []error
	for _, u := range config.UnknownNames(os.Environ()) {
		bad = append(bad, errors.New(u.String()))
	}
	if tooLarge != nil {
		bad = append(bad, tooLarge)
	}
	if settings.EnableLog {
		if err := journal.CheckFile(settings.LogFile); err != nil {
			bad = append(bad, logFileError(settings, err))
		}
	}
	if bad != nil {
		return &exitError{exitConfig, errors.Join(bad...)}
	}
	return nil
}

// givenFlags returns the names of the flags on the command line.
func givenFlags(command *kong.Context) map[string]bool {
	given := map[string]bool{}
	for _, step := range command.Path {
		if step.Flag != nil {
			given[step.Flag.Name] = true
		}
	}
	return given
}

const fromDefault = "default"

// source says where a setting comes from; given are the flags on the command line.
func source(v config.Value, given map[string]bool) string {
	if given[v.Flag] {
		return "flag"
	}
	if _, ok := os.LookupEnv(v.Variable); ok {
		return "environment"
	}
	return fromDefault
}
