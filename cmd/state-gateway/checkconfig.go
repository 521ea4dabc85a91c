package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/doctor"
)

type checkConfigCommand struct {
	config.Flags
}

// Run prints the settings in force, and fails if one has a bad value or a variable is unknown.
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
	for _, f := range doctor.Foresee(settings, doctor.Look(os.Getenv)) {
		if f.Level == doctor.Problem {
			warnings = append(warnings, f.Saw+"; "+f.Do)
		}
	}
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, "state-gateway: warning:", w)
	}
	var unknown []error
	for _, u := range config.UnknownNames(os.Environ()) {
		unknown = append(unknown, errors.New(u.String()))
	}
	if unknown != nil {
		return &exitError{exitConfig, errors.Join(unknown...)}
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
