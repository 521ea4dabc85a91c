package shard

import (
	"math"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/elrar/state-gateway/state"
)

func TestSourceRoundTrip(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0:0", "127.0.0.1:1", "10.1.2.3:9999", "255.255.255.255:65535",
		"[::]:0", "[::1]:9999", "[2001:db8:1:2:3:4:5:6]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
		"[::ffff:10.1.2.3]:80", // IPv4-mapped: stays what the caller made of it
	} {
		want := netip.MustParseAddrPort(text)
		if got := unpackSource(packSource(want)); got != want {
			t.Errorf("%v came back as %v", want, got)
		}
	}
	for _, invalid := range []netip.AddrPort{{}, netip.AddrPortFrom(netip.Addr{}, 9999)} {
		if got := unpackSource(packSource(invalid)); got.IsValid() {
			t.Errorf("%v came back as %v", invalid, got)
		}
	}
}

func TestHeldRoundTrip(t *testing.T) {
	mode := "some mode"
	held := state.Held{
		State: state.State{
			TimestampMs: state.MaxInteger, LatencyPredMs: math.SmallestNonzeroFloat64, SchedulingMode: mode, PendingTokensTotal: 1,
			KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.MaxInteger, EngineCapacity: math.MaxFloat64,
		},
		Received:          state.Instant{Mono: -3, Wall: math.MinInt64},
		NewestTimestampMs: state.MaxInteger - 1,
		Idle:              true,
		LoadTimestampMs:   state.NoLoad,
		HeartbeatWall:     math.MaxInt64,
		ClockSkewMs:       -state.MaxInteger,
		Source:            netip.MustParseAddrPort("[2001:db8::7]:4242"),
	}
	sourceless := state.Held{Idle: true}
	for _, want := range []state.Held{held, {}, held, sourceless, {}} { // a word that changes to zero is stored, too
		var words heldWords
		other := state.Held{ClockSkewMs: 3, Source: netip.MustParseAddrPort("1.2.3.4:5"), HeartbeatWall: 9}
		words.store(&other, &mode)
		words.store(&want, &want.SchedulingMode)
		got := state.Held{Source: netip.MustParseAddrPort("9.9.9.9:9")}
		got.SchedulingMode, got.Idle = "left over", !want.Idle
		words.load(&got)
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestWordSizes(t *testing.T) {
	if n := unsafe.Sizeof(slot{}); n != 368 || unsafe.Offsetof(slot{}.held) != 64 {
		t.Errorf("a slot has %d bytes, its copies begin at %d", n, unsafe.Offsetof(slot{}.held))
	}
	if n := unsafe.Sizeof(heldWords{}); n != 128 {
		t.Errorf("heldWords has %d bytes, not two cache lines", n)
	}
	if n := unsafe.Sizeof(recordWords{}); n != 64 {
		t.Errorf("recordWords has %d bytes, not one cache line", n)
	}
	if n := unsafe.Sizeof(part{}); n != 128 {
		t.Errorf("part has %d bytes, not two cache lines", n)
	}
}

func TestInternMode(t *testing.T) {
	buffer := []byte("balanced, unusual")
	usual, unusual := unsafe.String(&buffer[0], 8), unsafe.String(&buffer[10], 7)
	a, b := internMode(nil, usual), internMode(nil, unusual)
	if a != &usualModes[2] || *b != "unusual" {
		t.Fatalf("%q, %q", *a, *b)
	}
	if internMode(b, unusual) != b || internMode(a, usual) != a {
		t.Error("what is held was not taken again")
	}
	if internMode(b, usual) != a {
		t.Error("not the usual one")
	}
	copy(buffer, "xxxxxxxxxxxxxxxxx")
	if *a != "balanced" || *b != "unusual" {
		t.Errorf("%q, %q: aliases the caller's buffer", *a, *b)
	}
}
