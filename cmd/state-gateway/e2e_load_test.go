package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/elrar/state-gateway/internal/mmsg"
	"github.com/elrar/state-gateway/internal/needs"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// soak returns the length of a load test: the whole one if STATE_SOAK is set, as .ci/run does, else a shorter one.
func soak(whole, shorter time.Duration) time.Duration {
	if os.Getenv("STATE_SOAK") != "" {
		return whole
	}
	return shorter
}

// recorded is one line of a recorded stream.
type recorded struct {
	Timestamp float64 // Unix s
	State     json.RawMessage
}

// sendRecorded sends the recorded states, each as long after the first as it was, and checks that the log has all of them
// value for value.
func sendRecorded(t *testing.T, stream []recorded) {
	p := startGateway(t)
	conn := p.dial(t)
	begin := time.Now()
	for _, r := range stream {
		due := time.Duration((r.Timestamp - stream[0].Timestamp) * float64(time.Second))
		time.Sleep(time.Until(begin.Add(due))) // the stream's own pace
		if _, err := conn.Write(r.State); err != nil {
			t.Fatal(err)
		}
	}
	s := p.awaitAccounted(t, uint64(len(stream)))
	if s.Applied != uint64(len(stream)) {
		t.Errorf("stats %+v, want %d applied", s, len(stream))
	}
	lines := p.readLog(t)
	if len(lines) != len(stream) {
		t.Fatalf("%d lines of %d", len(lines), len(stream))
	}
	for i, l := range lines {
		if got, want := values(t, l.State), values(t, stream[i].State); !reflect.DeepEqual(got, want) {
			t.Errorf("line %d: %v, want %v", i+1, got, want)
		}
	}
}

// values decodes a state with its numbers as they are written.
func values(t *testing.T, text []byte) (v map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRecordedStream(t *testing.T) {
	path := os.Getenv("STATE_TRACE")
	if path == "" {
		t.Skip("STATE_TRACE names no recorded stream; TestGeneratedStream tests one of the same shape")
	}
	t.Parallel()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stream []recorded
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		stream = append(stream, r)
	}
	if len(stream) != 295 {
		t.Errorf("the recorded stream has %d states, want 295", len(stream))
	}
	sendRecorded(t, stream)
}

func TestGeneratedStream(t *testing.T) {
	t.Parallel()
	agent := traffic.NewAgent("http://172.17.0.3:8000", 7)
	var stream []recorded
	for i := range 295 {
		at := time.UnixMilli(1_755_532_567_495 + int64(i)*204)
		s := agent.Next(at)
		stream = append(stream, recorded{Timestamp: float64(i) * 0.005, State: s.AppendJSON(nil)})
	}
	sendRecorded(t, stream)
}

// The rated load: nothing is lost, and everything is counted and logged.
func TestThousandEngines(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	p := startGateway(t)
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: p.udp, Engines: 1000, Interval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	ctx, cancel := context.WithTimeout(t.Context(), soak(15*time.Second, 5*time.Second))
	defer cancel()
	fleet.Run(ctx)
	s := p.awaitAccounted(t, fleet.Sent())
	if s.TotalReceived != fleet.Sent() || s.Applied != s.TotalReceived || s.KernelDropped != 0 || s.LogDropped != 0 || s.TotalEngines != 1000 {
		t.Errorf("sent %d, stats %+v", fleet.Sent(), s)
	}
	if lines := p.readLog(t); uint64(len(lines)) != s.Applied {
		t.Errorf("%d lines, %d applied", len(lines), s.Applied)
	}
	t.Logf("%d datagrams of 1,000 engines", fleet.Sent())
}

// flood sends states of its own engines from one socket as fast as it can until ctx is done.
func flood(ctx context.Context, conn *net.UDPConn, name string, sent *atomic.Uint64) error {
	const engines = 128
	sender, err := mmsg.NewSender(conn, 64)
	if err != nil {
		return err
	}
	datagrams := make([][]byte, engines)
	for timestamp := int64(1_755_532_567_495); ctx.Err() == nil; timestamp++ {
		for i := range datagrams {
			s := state.State{EngineID: fmt.Sprintf("http://%s:%d", name, i), TimestampMs: timestamp, LatencyPredMs: 21.253122228102537,
				SchedulingMode: "latency_optimized", KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1, EngineCapacity: 59768.2749641796}
			datagrams[i] = s.AppendJSON(datagrams[i][:0])
		}
		n, err := sender.Send(datagrams)
		sent.Add(uint64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// Beyond what the machine can take, losses are counted exactly and HTTP goes on.
func TestFlood(t *testing.T) {
	needs.FullCheck(t, needs.WholeMachine)
	p := startGateway(t)
	ctx, cancel := context.WithTimeout(t.Context(), soak(10*time.Second, 2*time.Second))
	defer cancel()
	var sent atomic.Uint64
	var senders errgroup.Group
	for i := range 2 {
		conn := p.dial(t)
		senders.Go(func() error { return flood(ctx, conn, fmt.Sprint("flood", i), &sent) })
	}
	answers := 0
	for ; ctx.Err() == nil; answers++ {
		var s stats
		p.get(t, "/stats", &s)
		resp, err := http.Get(p.url + "/metrics")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("/metrics: %v %v", resp, err)
		}
		resp.Body.Close()
	}
	if err := senders.Wait(); err != nil {
		t.Error(err)
	}
	s := p.awaitAccounted(t, sent.Load())
	if s.Applied == 0 || s.Applied != s.TotalReceived || answers == 0 {
		t.Errorf("sent %d, %d answers, stats %+v", sent.Load(), answers, s)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	if lines := p.readLog(t); uint64(len(lines)) != s.Logged {
		t.Errorf("%d lines, %d logged", len(lines), s.Logged)
	}
	t.Logf("sent %d, received %d, dropped by the kernel %d, logged %d, dropped from the log %d; %d answers meanwhile",
		sent.Load(), s.TotalReceived, s.KernelDropped, s.Logged, s.LogDropped, answers)
}

// A stop under full load drains what was accepted into the file, says the account, and is done within 5 s.
func TestStopUnderLoad(t *testing.T) {
	p := startGateway(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn := p.dial(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for timestamp := 0; ctx.Err() == nil; timestamp++ {
			fmt.Fprintf(conn, `{"engine_id":"test","timestamp_ms":%d,"latency_pred_ms":1.5,"scheduling_mode":"balanced","pending_tokens_total":10,"kv_cache_free_blocks":100,"kv_cache_total_blocks":1000,"engine_capacity":1000.0}`, timestamp)
		}
	}()
	p.awaitStats(t, "10,000 applied", func(s stats) bool { return s.Applied >= 10_000 })
	code, took := p.stop(t, syscall.SIGTERM)
	cancel()
	<-done
	if code != 0 || took > 5*time.Second {
		t.Errorf("exit code %d after %v: %s", code, took, p.said())
	}
	var final struct {
		Msg                          string
		Received, Applied, Duplicate uint64
		OutOfOrder                   uint64 `json:"out_of_order"`
		Logged                       uint64
		LogDropped                   uint64 `json:"log_dropped"`
		LogQueued                    uint64 `json:"log_queued"`
		Rejected                     map[string]uint64
	}
	for _, line := range p.messages {
		if json.Unmarshal([]byte(line), &final) == nil && final.Msg == "final figures" {
			break
		}
	}
	s := stats{TotalReceived: final.Received, ValidStates: final.Received, Applied: final.Applied, Duplicate: final.Duplicate,
		OutOfOrder: final.OutOfOrder, Rejected: final.Rejected, Logged: final.Logged, LogDropped: final.LogDropped, LogQueued: final.LogQueued}
	if wrong := s.identity(); final.Msg != "final figures" || wrong != "" || final.LogQueued != 0 || final.Applied < 10_000 {
		t.Errorf("final figures %+v: %s", final, wrong)
	}
	if lines := p.readLog(t); uint64(len(lines)) != final.Logged {
		t.Errorf("%d lines, %d logged", len(lines), final.Logged)
	}
}
