package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/elrar/state-gateway/engine"
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/internal/mmsg"
)

// subject is something that receives datagrams.
type subject interface {
	address() netip.AddrPort
	received() uint64 // datagrams, so far
	dropped() uint64  // by the kernel, so far
	stop()
}

const (
	receiveBuffer = 8 << 20
	batchSize     = 64
	maxDatagram   = 4096
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// engineSubject is the packet engine with some handler.
type engineSubject struct {
	*engine.Engine
	cancel context.CancelFunc
	done   chan error
}

func (s *engineSubject) address() netip.AddrPort { return s.Address() }
func (s *engineSubject) received() uint64        { return s.Counters().Received }
func (s *engineSubject) dropped() uint64         { return s.KernelDrops()[0] }
func (s *engineSubject) stop() {
	s.cancel()
	<-s.done
	s.Close()
}

type discard struct{}

func (discard) HandleBatch(*engine.Batch)                      {}
func (discard) HandleMisfit(time.Time, netip.AddrPort, []byte) {}

// nullSink is the packet engine's own reader, throwing everything away: the unit.
func nullSink(b *testing.B) subject {
	e, err := engine.Listen(engine.Config{Address: loopback, Workers: 1, BatchSize: batchSize, MaxDatagram: maxDatagram, ReceiveBuffer: receiveBuffer})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &engineSubject{Engine: e, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- e.Run(ctx, func(int) engine.Handler { return discard{} }) }()
	return s
}

// gatewaySubject is the whole gateway but for HTTP.
type gatewaySubject struct {
	*gateway.Gateway
	cancel context.CancelFunc
	done   chan error
}

func (s *gatewaySubject) address() netip.AddrPort { return s.UDPAddress() }
func (s *gatewaySubject) received() uint64        { return s.Statistics().Received }
func (s *gatewaySubject) dropped() uint64         { return s.Statistics().Sockets[0].KernelDropped }
func (s *gatewaySubject) stop() {
	s.cancel()
	<-s.done
}

// gatewayWith returns a maker of gateways with one socket, changed by change.
func gatewayWith(change func(*config.Settings)) func(b *testing.B) subject {
	return func(b *testing.B) subject {
		s, _, err := config.Flags{}.Resolve()
		if err != nil {
			b.Fatal(err)
		}
		s.BindAddress, s.UDPPort, s.Workers, s.EnableLog = loopback, 0, 1, false
		if change != nil {
			change(&s)
		}
		if s.EnableLog {
			s.LogFile = filepath.Join(logDir(b), "engine_states.jsonl")
		}
		g, err := gateway.New(s, quiet)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		subject := &gatewaySubject{Gateway: g, cancel: cancel, done: make(chan error, 1)}
		go func() { subject.done <- g.Run(ctx) }()
		return subject
	}
}

func withLog(s *config.Settings) { s.EnableLog = true }

// logDir returns a folder for a log of some hundred megabytes: BENCH_DIR, for a certain file system, or the usual one.
func logDir(b *testing.B) string {
	dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "bench-log-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// socketSubject is a receiver of its own making on one socket: counted by its goroutine.
type socketSubject struct {
	conn  *net.UDPConn
	count func() uint64
	done  chan struct{}
	after func()
}

func (s *socketSubject) address() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }
func (s *socketSubject) received() uint64        { return s.count() }
func (s *socketSubject) dropped() uint64 {
	n, _ := mmsg.Drops(s.conn)
	return uint64(n)
}
func (s *socketSubject) stop() {
	s.conn.Close()
	<-s.done
	if s.after != nil {
		s.after()
	}
}

func listenUDP(b *testing.B) *net.UDPConn {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback.AsSlice()})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := mmsg.SetReceiveBuffer(conn, receiveBuffer); err != nil {
		b.Fatal(err)
	}
	return conn
}

// readBatch is golang.org/x/net's batch reader, throwing everything away.
func readBatch(b *testing.B) subject {
	conn, n := listenUDP(b), new(atomic.Uint64)
	s := &socketSubject{conn: conn, count: n.Load, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		messages := make([]ipv4.Message, batchSize)
		for i := range messages {
			messages[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		}
		p := ipv4.NewPacketConn(conn)
		for {
			k, err := p.ReadBatch(messages, 0)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			n.Add(uint64(k))
		}
	}()
	return s
}

// naive is the gateway that people write first: ReadFromUDP, encoding/json, a map under a mutex, a write a line.
func naive(b *testing.B) subject {
	file, err := os.Create(filepath.Join(logDir(b), "naive.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	conn, n := listenUDP(b), new(atomic.Uint64)
	s := &socketSubject{conn: conn, count: n.Load, done: make(chan struct{}), after: func() { file.Close() }}
	type engineState struct {
		EngineID           string  `json:"engine_id"`
		TimestampMs        int64   `json:"timestamp_ms"`
		LatencyPredMs      float64 `json:"latency_pred_ms"`
		SchedulingMode     string  `json:"scheduling_mode"`
		PendingTokensTotal int64   `json:"pending_tokens_total"`
		KVCacheFreeBlocks  int64   `json:"kv_cache_free_blocks"`
		KVCacheTotalBlocks int64   `json:"kv_cache_total_blocks"`
		EngineCapacity     float64 `json:"engine_capacity"`
	}
	var mu sync.Mutex
	states := map[string]engineState{}
	go func() {
		defer close(s.done)
		buffer := make([]byte, maxDatagram)
		for {
			k, _, err := conn.ReadFromUDP(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			var state engineState
			if json.Unmarshal(buffer[:k], &state) == nil {
				mu.Lock()
				states[state.EngineID] = state
				mu.Unlock()
				line, _ := json.Marshal(map[string]any{"timestamp": float64(time.Now().UnixMicro()) / 1e6, "state": state})
				file.Write(append(line, '\n'))
			}
			n.Add(1)
		}
	}()
	return s
}
