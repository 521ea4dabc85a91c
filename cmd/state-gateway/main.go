// Command state-gateway receives the states that LLM engines push by UDP, keeps the newest of each, and serves them to
// routers over HTTP. The work is done in the packages of this module; here are the command line and the wiring.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/agnivade/levenshtein"
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

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

func main() {
	outliveReader()
	if err := run(os.Args[1:]); err != nil {
		messages := newMessageWriter(os.Stderr)
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(messages, "state-gateway:", strings.TrimSuffix(line, "\n"))
		}
		messages.flush()
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
		kong.Vars{"version": versionLine()},
		kong.PostBuild(withoutIdleSettings),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return usageError(suggest(parser.Model.Children, args, err))
	}
	return command.Run()
}

// mostMistakes is how many letters a mistyped command may have wrong: as many as kong grants a flag.
const mostMistakes = 2

// suggest adds to kong's error the command that was meant by a first word that is none. Kong cannot: it takes the word for
// an argument of the default command.
func suggest(known []*kong.Node, args []string, err error) error {
	if len(args) == 0 || err.Error() != "unexpected argument "+args[0] {
		return err
	}
	best, least := "", mostMistakes+1
	for _, command := range known {
		if distance := levenshtein.ComputeDistance(args[0], command.Name); distance > 0 && distance < least {
			best, least = command.Name, distance
		}
	}
	if best == "" {
		return err
	}
	return fmt.Errorf("%w, did you mean %q?", err, best)
}
