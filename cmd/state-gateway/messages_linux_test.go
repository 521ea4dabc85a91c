package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fill writes into a pipe, by its reading end, until nothing more fits, and returns how much was written.
func fill(t *testing.T, read *os.File) (bytes int) {
	t.Helper()
	conn, err := read.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var path string
	conn.Control(func(fd uintptr) { path = fmt.Sprintf("/proc/self/fd/%d", fd) })
	write, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(write)
	for _, size := range []int{4096, 1} {
		for text := []byte(strings.Repeat("\n", size)); ; bytes += size {
			if _, err := syscall.Write(write, text); err == syscall.EAGAIN {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	return bytes
}

// Whoever reads the messages stalls with a full pipe, or goes: the gateway receives, logs, drains and ends as ever, and
// says in its metrics what nobody read; row 38.
func TestReaderOfMessages(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{true, false} {
		p := startGateway(t)
		if gone {
			p.stderr.Close()
		} else {
			p.mu.Lock() // the reader waits at its next line
			fill(t, p.stderr)
			for deadline := time.Now().Add(20 * time.Second); fill(t, p.stderr) > 0; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the pipe does not stay full")
				}
			}
		}
		load, stop := p.startLoad(t, logRate()/4)
		p.send(t, "no state") // of which there is a message
		p.awaitStats(t, "some lines", func(s stats) bool { return s.Logged > 1000 && s.Rejected["json"] == 1 })
		if gone {
			for deadline := time.Now().Add(20 * time.Second); p.figure(t, "messages_dropped_total") == 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("no message was dropped")
				}
			}
		}
		stop()
		s := p.awaitAccounted(t, load.Sent()+1)
		if s.Applied != s.Logged {
			t.Errorf("gone %v: %+v", gone, s)
		}
		if !gone && fill(t, p.stderr) > 0 {
			t.Error("somebody has read the messages")
		}
		code, took := 0, time.Duration(0)
		if gone {
			code, took = p.stop(t, syscall.SIGTERM)
		} else {
			code, took = endUnread(t, p)
			p.mu.Unlock()
		}
		if code != 0 || took > 10*time.Second {
			t.Errorf("gone %v: exit code %d after %v", gone, code, took)
		}
		if lines := (logged{}).add(t, p.logFile); uint64(lines) != s.Logged {
			t.Errorf("gone %v: %d lines, %+v", gone, lines, s)
		}
	}
}

// endUnread is stop for a gateway whose messages are not read.
func endUnread(t *testing.T, p *process) (code int, took time.Duration) {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state, err := p.cmd.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return state.ExitCode(), time.Since(begin)
}

// A command whose messages nobody reads does what it does, and ends with its own exit code.
func TestCommandsWithoutAReaderOfMessages(t *testing.T) {
	t.Parallel()
	capture := writeCapture(t, 1, 100)
	for _, gone := range []bool{true, false} {
		for _, test := range []struct {
			args []string
			env  []string
			code int
		}{
			{[]string{"serve"}, env("UDP_PORT=none"), 78},
			{[]string{"--bogus"}, nil, 64},
			{[]string{"demo", "--for=300ms"}, nil, 0},
			{[]string{"replay", "--offline", capture}, nil, 0},
		} {
			if !gone && test.code == 0 {
				continue // it waits, as every program does on a terminal that was stopped
			}
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			if gone {
				read.Close()
			} else {
				fill(t, read)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			cmd := exec.CommandContext(ctx, binary, test.args...)
			cmd.Env, cmd.Stderr = append([]string{}, test.env...), write
			err = cmd.Run()
			cancel()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("gone %v: %v: exit code %d, want %d: %v", gone, test.args, code, test.code, err)
			}
			read.Close()
			write.Close()
		}
	}
}

// What writes to standard output ends as usual when nobody reads that any more, as in state-gateway … | head.
func TestWithoutAReaderOfOutput(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer write.Close()
	cmd := exec.Command(binary, "demo", "--for=1m")
	cmd.Env, cmd.Stdout = []string{}, write
	cmd.Run()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGPIPE {
		t.Errorf("it ends with %v", cmd.ProcessState)
	}
}
