package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/elrar/state-gateway/internal/traffic"
)

// senderVariable makes a process of this test binary a sender: its value is a traffic.LoadConfig in JSON.
const senderVariable = "BENCH_SENDER"

func TestMain(m *testing.M) {
	if text := os.Getenv(senderVariable); text != "" {
		if err := beSender(text); err != nil {
			fmt.Fprintln(os.Stderr, "sender:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beSender sends until its standard input ends, and then prints how many datagrams it sent.
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
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := load.Run(ctx); err != nil {
		return err
	}
	fmt.Println(load.Sent())
	return nil
}

// sender is a load that is being sent by another process, whose CPU time is thus not this one's.
type sender struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func startSender(b *testing.B, cfg traffic.LoadConfig) *sender {
	b.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		b.Fatal(err)
	}
	s := &sender{cmd: exec.Command(os.Args[0])}
	s.cmd.Env = append(os.Environ(), senderVariable+"="+string(text))
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return s
}

// stop ends the load and returns how many datagrams were sent.
func (s *sender) stop(b *testing.B) (sent uint64) {
	b.Helper()
	s.stdin.Close()
	if _, err := fmt.Fscan(s.out, &sent); err != nil {
		b.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return sent
}

// saturating is the load of most benchmarks: as many real-shaped datagrams as one sender can bring to one socket.
func saturating(target netip.AddrPort, engines int) traffic.LoadConfig {
	return traffic.LoadConfig{Target: target, Engines: engines, Senders: 1, GSO: true, Shape: traffic.Usual}
}
