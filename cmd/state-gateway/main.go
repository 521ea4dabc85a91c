// Command state-gateway receives the states that LLM engines push by UDP, keeps the newest of each, and serves them to
// routers over HTTP. The work is done in the packages of this module; here are the command line and the wiring.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/elrar/state-gateway/internal/config"
)

// commands is the command line.
type commands struct {
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Receive, keep, log and serve engine states (the default)."`
	Demo        demoCommand        `cmd:"" help:"Run a gateway on free ports with simulated engines."`
	Top         topCommand         `cmd:"" help:"Show a gateway's engines in the terminal."`
	Load        loadCommand        `cmd:"" help:"Send a load of engine states, and account for each."`
	Replay      replayCommand      `cmd:"" help:"Run captured traffic again."`
	CheckConfig checkConfigCommand `cmd:"" help:"Check the settings and print those in force."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running gateway whether it is ready."`
	Doctor      doctorCommand      `cmd:"" help:"Find out why nothing arrives."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(os.Stderr, "state-gateway:", strings.TrimSuffix(line, "\n"))
		}
		os.Exit(exitCode(err))
	}
}

// run parses the command line and the environment and runs the command.
func run(args []string) error {
	for _, name := range config.EmptyVariables(os.Environ()) {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	parser, err := kong.New(&commands{},
		kong.Name("state-gateway"),
		kong.Description("Keeps the newest state of every LLM engine, pushed by UDP, and serves it over HTTP."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return usageError(err)
	}
	return command.Run()
}
