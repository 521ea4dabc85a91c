package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	startLimit  = 10 * time.Second // until a subject listens
	settleLimit = 15 * time.Second // until a subject has worked off its queues
	stopLimit   = 10 * time.Second // from SIGTERM to SIGKILL
	idle        = 0.05             // of a processor: a subject that uses less has worked off its queues
	idleWindow  = 500 * time.Millisecond
)

// process is a child process.
type process struct {
	*exec.Cmd
	output bytes.Buffer // its last words, for an error
	done   chan struct{}
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{Cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the process and returns when it has ended.
func (p *process) stop() {
	p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		p.Process.Kill()
		<-p.done
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// lastWords is an error with the end of what the process wrote; after its end.
func (p *process) lastWords(what string) error {
	text := p.output.Bytes()
	return fmt.Errorf("%s: %s", what, bytes.TrimSpace(text[max(0, len(text)-500):]))
}

// measure runs one subject under one load and fills in the figures of the record.
func measure(ctx context.Context, o options, s subject, r *record) error {
	dir, err := os.MkdirTemp(o.directory, "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at := place{dir: dir}
	if at.udp, at.http, err = freePorts(); err != nil {
		return err
	}
	cmd, work, err := s.start(at)
	if err != nil {
		return err
	}
	cmd.Dir = dir
	began, err := readDelivery()
	if err != nil {
		return err
	}
	program, err := startProcess(cmd)
	if err != nil {
		return err
	}
	defer program.stop()
	for deadline := time.Now().Add(startLimit); !bound(at.udp); {
		if time.Now().After(deadline) || program.ended() {
			program.stop()
			return program.lastWords("does not listen")
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	sender, err := startProcess(loadCommand(o, s, r.Load, at.udp))
	if err != nil {
		return err
	}
	defer sender.stop()
	if err := sleep(ctx, o.warmUp); err != nil {
		return err
	}

	before, wall, cpu, err := read(program)
	if err != nil {
		return err
	}
	if err := sleep(ctx, o.slice); err != nil {
		return err
	}
	after, now, _, err := read(program)
	if err != nil {
		return err
	}
	if sender.ended() {
		return sender.lastWords("the sender has ended")
	}
	sender.stop()
	end, workedOff, err := settle(ctx, program)
	if err != nil {
		return err
	}

	r.Seconds = now.Sub(wall).Seconds()
	r.Received, r.KernelDropped = after.received-before.received, after.dropped-before.dropped
	r.Rate = float64(r.Received) / r.Seconds
	if r.Received == 0 {
		program.stop()
		return program.lastWords("received nothing")
	}
	r.DropPercent = 100 * float64(r.KernelDropped) / float64(r.Received+r.KernelDropped)
	r.CPU, r.CPUDatagrams = int64(workedOff-cpu), end.received-before.received
	n := end.received - began.received
	if work.count != nil {
		if n, err = work.count(); err != nil {
			return err
		}
	}
	program.stop()
	if work.file != "" {
		if n, err = countLines(work.file); err != nil {
			return err
		}
	}
	r.Handled = float64(n) / float64(end.received-began.received)
	if n == 0 {
		return program.lastWords("handled nothing")
	}
	r.CPUPerDatagram = float64(r.CPU) / float64(r.CPUDatagrams) / r.Handled
	return nil
}

// read returns the kernel's counters, the time, and the process's CPU time.
func read(p *process) (d delivery, now time.Time, cpu time.Duration, err error) {
	if cpu, err = processCPU(p.Process.Pid); err != nil {
		return
	}
	d, err = readDelivery()
	return d, time.Now(), cpu, err
}

// settle waits until nothing is delivered any more and the process has come to rest, and returns the kernel's counters
// and its CPU time then. A process that does not come to rest is taken as it is.
func settle(ctx context.Context, p *process) (d delivery, cpu time.Duration, err error) {
	deadline := time.Now().Add(settleLimit)
	last, _, used, err := read(p)
	for err == nil {
		if err = sleep(ctx, idleWindow); err != nil {
			break
		}
		if d, _, cpu, err = read(p); err != nil {
			break
		}
		if resting := float64(cpu-used) < idle*float64(idleWindow); d == last && resting || time.Now().After(deadline) {
			return d, cpu, nil
		}
		last, used = d, cpu
	}
	return d, cpu, err
}

// loadCommand is the sender of a load: with segmentation offload when it is to be all that can be sent.
func loadCommand(o options, s subject, load string, port int) *exec.Cmd {
	name, args := o.gateway, []string{"load", "--shape=usual"}
	if s.gauges > 0 {
		name, args = os.Args[0], []string{"send-statsd", "--gauges=" + strconv.Itoa(s.gauges)}
	}
	args = append(args, fmt.Sprintf("--target=127.0.0.1:%d", port), fmt.Sprintf("--engines=%d", o.engines), "--rate="+load,
		"--for="+(o.warmUp+o.slice+startLimit).String())
	if load == "max" {
		args = append(args, "--gso")
	}
	return exec.Command(name, args...)
}

// freePorts returns ports of the loopback interface that are free now, for UDP and for TCP.
func freePorts() (udp, tcp int, err error) {
	loopback := net.IPv4(127, 0, 0, 1)
	conn, err1 := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	listener, err2 := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback})
	if conn != nil {
		defer conn.Close()
	}
	if listener != nil {
		defer listener.Close()
	}
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	return conn.LocalAddr().(*net.UDPAddr).Port, listener.Addr().(*net.TCPAddr).Port, nil
}

// sleep returns the context's error if it ends meanwhile.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
