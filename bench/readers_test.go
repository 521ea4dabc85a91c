package bench

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/api"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// withReaders is a gateway whose table is copied as a whole, at 100 Hz, by a number of goroutines in this process.
func withReaders(n int) func(b *testing.B) subject {
	return func(b *testing.B) subject {
		s := gatewayWith(nil)(b).(*gatewaySubject)
		r := &readSubject{gatewaySubject: s, end: make(chan struct{})}
		for range n {
			r.readers.Go(r.read)
		}
		return r
	}
}

type readSubject struct {
	*gatewaySubject
	end     chan struct{}
	readers sync.WaitGroup
}

func (r *readSubject) read() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	copies := make([]state.Held, 0, 2000)
	for {
		select {
		case <-r.end:
			return
		case <-tick.C:
			copies = copies[:0]
			r.Table().Range(func(h *state.Held) bool {
				copies = append(copies, *h)
				return true
			})
		}
	}
}

func (r *readSubject) stop() {
	close(r.end)
	r.readers.Wait()
	r.gatewaySubject.stop()
}

// BenchmarkReaders measures what readers cost the ingest: the base of xnull and xrate is the gateway without them. xnull
// has the readers' own CPU time in it; xrate, the datagrams delivered, is what they take away.
func BenchmarkReaders(b *testing.B) {
	b.Run("4x100Hz", func(b *testing.B) { compareWith(b, gatewayWith(nil), withReaders(4), thousand, thousand) })
}

// BenchmarkVisible measures the time from a send to the moment at which a reader of the table sees the state, while
// 50,000 other datagrams a second arrive.
func BenchmarkVisible(b *testing.B) {
	s := gatewayWith(withLog)(b).(*gatewaySubject)
	defer s.stop()
	load := startSender(b, traffic.LoadConfig{Target: s.address(), Engines: 1000, Senders: 1, Rate: 50_000, Shape: traffic.Usual})
	defer load.stop(b)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.address()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	time.Sleep(warmUp)
	const probes = 2000
	var waits []time.Duration
	for b.Loop() {
		for range probes {
			time.Sleep(200 * time.Microsecond)
			probe := state.State{EngineID: "probe", TimestampMs: int64(len(waits)) + 1, SchedulingMode: "balanced"}
			payload := probe.AppendJSON(nil)
			begin := time.Now()
			if _, err := conn.Write(payload); err != nil {
				b.Fatal(err)
			}
			for {
				held, _ := s.Table().Get("probe")
				if wait := time.Since(begin); held.TimestampMs == probe.TimestampMs {
					waits = append(waits, wait)
					break
				} else if wait > time.Second { // lost: the kernel dropped it
					b.Fatal("a probe was lost")
				}
				time.Sleep(time.Microsecond) // leaves the processor to those who work
			}
		}
	}
	slices.Sort(waits)
	b.ReportMetric(0, "ns/op")
	for _, p := range []float64{50, 99, 99.9} {
		b.ReportMetric(float64(waits[int(float64(len(waits)-1)*p/100)].Microseconds()), fmt.Sprintf("p%v-µs", p))
	}
}

// BenchmarkEngineStates measures GET /v1/engine-states of 1,000 engines from the real table: rendering and handing to
// the connection, without the connection.
func BenchmarkEngineStates(b *testing.B) {
	s := gatewayWith(nil)(b).(*gatewaySubject)
	defer s.stop()
	for i := range 1000 {
		st := traffic.NewAgent(fmt.Sprintf("http://10.0.%d.%d:8000", i/256, i%256), uint64(i)).Next(time.Now())
		s.Table().Apply(&st, s.address(), s.Now())
	}
	handler := api.New(s.Table(), s, api.Info{Rules: s.Rules()}, quiet)
	request := httptest.NewRequest(http.MethodGet, "/v1/engine-states", nil)
	b.ReportAllocs()
	cpu, n := processCPU(b), 0
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
		n++
	}
	b.ReportMetric(float64((processCPU(b)-cpu).Microseconds())/float64(n), "cpu-µs/op")
}
