package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

// roles are what a process of this test binary can be instead of running benchmarks, by the variable that says so: its
// value is the role's configuration in JSON. A role says on standard output what it has to say, each time in JSON, and ends
// when its standard input does.
var roles = map[string]func(text string) error{
	senderVariable:  beSender,
	crowdVariable:   beCrowd,
	enginesVariable: beEngines,
	routerVariable:  beRouter,
}

const (
	senderVariable  = "BENCH_SENDER"  // a traffic.LoadConfig
	crowdVariable   = "BENCH_CROWD"   // a crowdConfig
	enginesVariable = "BENCH_ENGINES" // an enginesConfig
	routerVariable  = "BENCH_ROUTER"  // a routerConfig
)

func TestMain(m *testing.M) {
	for variable, role := range roles {
		if text := os.Getenv(variable); text != "" {
			if err := role(text); err != nil {
				fmt.Fprintln(os.Stderr, variable+":", err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// untilStopped returns a context that ends when standard input does.
func untilStopped() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// child is a process of this test binary in a role. Its CPU time is not this one's.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *json.Decoder
}

func startChild(b *testing.B, variable string, cfg any) *child {
	b.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		b.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), variable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return c
}

// hear reads what the child says next.
func (c *child) hear(b *testing.B, v any) {
	b.Helper()
	if err := c.out.Decode(v); err != nil {
		b.Fatal(err)
	}
}

// stop ends the child and reads what it says at its end.
func (c *child) stop(b *testing.B, v any) {
	b.Helper()
	c.stdin.Close()
	c.hear(b, v)
	if err := c.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}

// cpu is the time that the child has had of the processors. It has ended.
func (c *child) cpu() time.Duration {
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// beSender sends until it is stopped, and then says how many datagrams that was.
func beSender(text string) error {
	var cfg traffic.LoadConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	load, err := traffic.NewLoad(cfg)
	if err != nil {
		return err
	}
	defer load.Close()
	if err := load.Run(untilStopped()); err != nil {
		return err
	}
	return say(load.Sent())
}

// sender is a child that sends a load.
type sender struct{ *child }

func startSender(b *testing.B, cfg traffic.LoadConfig) sender {
	b.Helper()
	return sender{startChild(b, senderVariable, cfg)}
}

// stop ends the load and returns how many datagrams were sent.
func (s sender) stop(b *testing.B) (sent uint64) {
	b.Helper()
	s.child.stop(b, &sent)
	return sent
}

// saturating is the load of most benchmarks: as many real-shaped datagrams as one sender can bring to one socket.
func saturating(target netip.AddrPort, engines int) traffic.LoadConfig {
	return traffic.LoadConfig{Target: target, Engines: engines, Senders: 1, GSO: true, Shape: traffic.Usual}
}
