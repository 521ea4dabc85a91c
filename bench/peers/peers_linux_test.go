package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDelivery(t *testing.T) {
	const text = "Ip: Forwarding DefaultTTL\nIp: 1 64\n" +
		"Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: 44 1 7 50 6 0\n" +
		"UdpLite: InDatagrams NoPorts\nUdpLite: 0 0\n"
	if d, err := parseDelivery(text); err != nil || d != (delivery{received: 44, dropped: 6}) {
		t.Error(d, err)
	}
	for _, bad := range []string{"", "Udp: InDatagrams\n", "Udp: InDatagrams\nUdp: 1 2\n", "Udp: InDatagrams\nUdp: x\n"} {
		if _, err := parseDelivery(bad); err == nil {
			t.Errorf("%q has no error", bad)
		}
	}
	if _, err := readDelivery(); err != nil {
		t.Error("here:", err)
	}
}

func TestPort(t *testing.T) {
	const text = "   sl  local_address rem_address   st\n  77: 0100007F:270F 00000000:0000 07\n"
	if !hasPort(text, 9999) || hasPort(text, 0) || hasPort("", 9999) {
		t.Error("port 9999 is 270F")
	}
}

func TestProcessCPU(t *testing.T) {
	before, err := processCPU(os.Getpid())
	if err != nil {
		t.Skip(err)
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
	}
	if after, err := processCPU(os.Getpid()); err != nil || after <= before {
		t.Error(before, after, err)
	}
}

func TestCountLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(name, []byte("a\n"+strings.Repeat("b", 3<<20)+"\n\nhalf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := countLines(name); n != 3 || err != nil {
		t.Error(n, err)
	}
}

// TestStatsdDatagram: segmentation offload needs datagrams of one size.
func TestStatsdDatagram(t *testing.T) {
	for _, engine := range []int{0, 999_999} {
		if d := statsdDatagram(engine, 5); len(d) != statsdSize || strings.Count(string(d), "\n") != 4 {
			t.Errorf("%d bytes: %s", len(d), d)
		}
		if d := statsdDatagram(engine, 1); len(d) != len(statsdDatagram(0, 1)) || strings.Contains(string(d), "\n") {
			t.Errorf("%d bytes: %s", len(d), d)
		}
	}
}
