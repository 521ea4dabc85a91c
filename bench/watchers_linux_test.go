package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/engine"
	"github.com/elrar/state-gateway/internal/api"
	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// ingest is the way of a datagram into the table, as the gateway's pipeline goes it with the log off, on a thread of its
// own, whose time of a processor the kernel counts to the nanosecond. What watchers cost beside it, in the same process,
// does not count: that is theirs.
type ingest struct {
	engine   *engine.Engine
	table    *shard.Table
	decoder  *decode.Decoder
	rules    state.Rules
	origin   time.Time
	state    state.State
	thread   atomic.Int64 // its id, once there was a datagram
	applied  atomic.Uint64
	rejected atomic.Uint64
	cancel   context.CancelFunc
	done     chan error
}

func startIngest(b *testing.B) *ingest {
	b.Helper()
	e, err := engine.Listen(engine.Config{Address: loopback, Workers: 1, BatchSize: batchSize, MaxDatagram: maxDatagram, ReceiveBuffer: receiveBuffer})
	if err != nil {
		b.Fatal(err)
	}
	i := &ingest{engine: e, decoder: decode.New(), origin: time.Now(), done: make(chan error, 1)}
	i.rules = state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}
	i.table = shard.New(shard.Config{MaxEngines: 10_000, History: 100, Rules: i.rules})
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel = cancel
	go func() { i.done <- e.Run(ctx, func(int) engine.Handler { return i }) }()
	return i
}

func (i *ingest) stop() {
	i.cancel()
	<-i.done
	i.engine.Close()
}

// HandleBatch implements engine.Handler.
func (i *ingest) HandleBatch(batch *engine.Batch) {
	if i.thread.Load() == 0 {
		runtime.LockOSThread()
		i.thread.Store(int64(unix.Gettid()))
	}
	read := state.Instant{Mono: int64(batch.Read.Sub(i.origin)), Wall: batch.Read.UnixNano()}
	var applied, rejected uint64
	for k := range batch.Len() {
		waited := int64(batch.Waited(k))
		at := state.Instant{Mono: read.Mono - waited, Wall: read.Wall - waited}
		if i.decoder.Decode(batch.Payload(k), &i.state) != state.Accepted {
			rejected++
		} else if i.table.Apply(&i.state, batch.Source(k), at)&state.Applied != 0 {
			applied++
		}
	}
	i.applied.Add(applied)
	i.rejected.Add(rejected)
}

// HandleMisfit implements engine.Handler.
func (i *ingest) HandleMisfit(time.Time, netip.AddrPort, []byte) { i.rejected.Add(1) }

// cpu returns the thread's time.
func (i *ingest) cpu(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", i.thread.Load()))
	if err != nil {
		b.Fatal(err)
	}
	ns, err := strconv.ParseInt(string(bytes.Fields(text)[0]), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// The ingest is what the HTTP side sees of a gateway.

func (i *ingest) Now() state.Instant {
	now := time.Now()
	return state.Instant{Mono: int64(now.Sub(i.origin)), Wall: now.UnixNano()}
}
func (i *ingest) Statistics() gateway.Statistics { return gateway.Statistics{} }
func (i *ingest) Ready() error                   { return nil }
func (i *ingest) Degraded() string               { return "" }
func (i *ingest) Live() error                    { return nil }

// watched is what one slice of time with or without watchers brought.
type watched struct {
	received, applied, dropped, bytes uint64
	ingest, process, wall             time.Duration
	gcs                               uint32
}

func (w watched) plus(v watched) watched {
	return watched{w.received + v.received, w.applied + v.applied, w.dropped + v.dropped, w.bytes + v.bytes,
		w.ingest + v.ingest, w.process + v.process, w.wall + v.wall, w.gcs + v.gcs}
}

func (w watched) perDatagram() float64 { return float64(w.ingest.Nanoseconds()) / float64(w.received) }

// BenchmarkWatchIngest measures what watchers cost the ingest of 1,000 engines that push every 200 ms: ingest-ns/dgram is
// the time that the ingest's thread has of a processor, per datagram; x-unwatched its ratio to that without watchers,
// measured before and after by turns; watchers-cpu-% what the rest of the process takes with them, of one processor, and
// MB/s what they get.
func BenchmarkWatchIngest(b *testing.B) {
	for _, c := range []struct {
		name  string
		crowd crowdConfig
	}{
		{"watchers=0", crowdConfig{}},
		{"watchers=50", crowdConfig{Watchers: 50}},
		{"watchers=50/stalled=10", crowdConfig{Watchers: 50, Stalled: 10}},
		{"watchers=50/whole-engines", crowdConfig{Watchers: 50, Query: "?fields=engines"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var with, without watched
			for range b.N {
				without = without.plus(measureWatched(b, crowdConfig{}))
				with = with.plus(measureWatched(b, c.crowd)).plus(measureWatched(b, c.crowd))
				without = without.plus(measureWatched(b, crowdConfig{}))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(with.perDatagram(), "ingest-ns/dgram")
			b.ReportMetric(with.perDatagram()/without.perDatagram(), "x-unwatched")
			b.ReportMetric(float64(with.received)/with.wall.Seconds(), "dgram/s")
			b.ReportMetric(float64(with.dropped), "dropped")
			b.ReportMetric(100*(with.process-with.ingest).Seconds()/with.wall.Seconds(), "watchers-cpu-%")
			b.ReportMetric(float64(with.bytes)/1e6/with.wall.Seconds(), "MB/s")
			b.ReportMetric(float64(with.gcs)/float64(b.N), "gcs")
		})
	}
}

func measureWatched(b *testing.B, crowd crowdConfig) watched {
	b.Helper()
	i := startIngest(b)
	server, err := api.Listen("127.0.0.1:0", api.New(i.table, i, api.Info{Rules: i.rules}, quiet), quiet)
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	load := startSender(b, traffic.LoadConfig{Target: i.engine.Address(), Engines: fleetEngines, Senders: 1,
		Rate: float64(fleetEngines * time.Second / fleetInterval), Shape: traffic.Usual})
	for i.table.Engines() < fleetEngines {
		time.Sleep(time.Millisecond)
	}
	var watchers *child
	if crowd.Watchers > 0 {
		crowd.Address = server.Addr().String()
		watchers = startChild(b, crowdVariable, crowd)
		watchers.hear(b, &crowdReport{})
	}
	time.Sleep(warmUp)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := watched{process: -processCPU(b), ingest: -i.cpu(b), received: -i.engine.Counters().Received, applied: -i.applied.Load()}
	begin := time.Now()
	time.Sleep(5 * time.Second)
	w.wall = time.Since(begin)
	w.process += processCPU(b)
	w.ingest += i.cpu(b)
	w.received += i.engine.Counters().Received
	w.applied += i.applied.Load()
	runtime.ReadMemStats(&after)
	w.gcs = after.NumGC - before.NumGC

	if watchers != nil {
		var report crowdReport
		watchers.stop(b, &report)
		w.bytes = report.Bytes
		if report.Ended > 0 {
			b.Errorf("%d streams ended", report.Ended)
		}
	}
	sent := load.stop(b)
	settled := func() bool {
		w.dropped = i.engine.KernelDrops()[0]
		return i.engine.Counters().Received+w.dropped == sent && i.applied.Load()+i.rejected.Load()+w.dropped == sent
	}
	for deadline := time.Now().Add(5 * time.Second); !settled(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Errorf("sent %d, received %d, dropped %d, applied %d, rejected %d", sent, i.engine.Counters().Received, w.dropped, i.applied.Load(), i.rejected.Load())
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		b.Log(err) // what was stalled was cut off
	}
	<-served
	i.stop()
	runtime.GC()
	return w
}
