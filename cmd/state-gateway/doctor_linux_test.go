package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/elrar/state-gateway/internal/doctor"
	"github.com/elrar/state-gateway/internal/mmsg"
)

// Who joins the gateway's port is named.
func TestDoctorOfAnIntruder(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "BIND_ADDRESS=127.0.0.1", "WORKERS=2")
	join := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { mmsg.SetReusePort(int(fd)) })
	}}
	intruder, err := join.ListenPacket(t.Context(), "udp4", p.udp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer intruder.Close()
	besides := fmt.Sprintf(") has UDP port %d besides the gateway, with 1 socket", p.udp.Port())
	if code, findings := p.runDoctor(t); code != 1 || !seen(findings, doctor.Problem, "sockets", fmt.Sprintf("process %d (", os.Getpid()), besides) {
		t.Errorf("exit code %d: %+v", code, findings)
	}

	// A socket that is connected to one peer takes nothing of what others send.
	if err := mmsg.Seal(intruder.(*net.UDPConn)); err != nil {
		t.Fatal(err)
	}
	if _, findings := p.runDoctor(t); seen(findings, doctor.Problem, "sockets", "besides the gateway") {
		t.Errorf("connected: %+v", findings)
	}
}

// What the doctor says of the start is of one moment and said once.
func TestDoctorOfAYoungGateway(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=3600000")
	_, findings := p.runDoctor(t)
	if !seen(findings, doctor.Note, "gateway", "it is not ready yet: engines may not all have been heard for another ") {
		t.Errorf("%+v", findings)
	}
	for _, f := range findings {
		if f.About == "gateway" && strings.Contains(f.Saw, "started") {
			t.Errorf("a second time of its start: %+v", f)
		}
	}
}
