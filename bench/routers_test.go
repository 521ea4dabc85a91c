package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/api"
	"github.com/elrar/state-gateway/state"
)

// The engines of these benchmarks: as many as a large fleet has, pushing at the usual interval.
const (
	fleetEngines  = 1000
	fleetInterval = 200 * time.Millisecond
)

// crowdConfig is a crowd of watchers that read everything and look at nothing.
type crowdConfig struct {
	Address  string // host:port
	Query    string
	Watchers int
	Stalled  int // of these, that read nothing
}

// crowdReport is what it says when all of them watch (zeros), and at its end.
type crowdReport struct {
	Bytes uint64
	Ended int // streams that ended before
}

func beCrowd(text string) error {
	var cfg crowdConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	var conns []net.Conn
	var bytes atomic.Uint64
	var ended atomic.Int64
	for i := range cfg.Watchers {
		conn, err := net.Dial("tcp", cfg.Address)
		if err != nil {
			return err
		}
		conns = append(conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /v1/watch%s HTTP/1.1\r\nHost: gateway\r\n\r\n", cfg.Query); err != nil {
			return err
		}
		buffer := make([]byte, 64<<10)
		if _, err := conn.Read(buffer); err != nil {
			return err
		}
		if i < cfg.Stalled {
			continue
		}
		go func() {
			for {
				n, err := conn.Read(buffer)
				bytes.Add(uint64(n))
				if err != nil {
					ended.Add(1)
					return
				}
			}
		}()
	}
	if err := say(crowdReport{}); err != nil {
		return err
	}
	<-untilStopped().Done()
	report := crowdReport{bytes.Load(), int(ended.Load())}
	for _, conn := range conns {
		conn.Close()
	}
	return say(report)
}

// enginesConfig is a fleet whose states say in pending_tokens_total when they were taken, in Unix µs. It either sends them
// by UDP, or is asked for them by HTTP: GET /?engine=i. The interval and the number are the constants above.
type enginesConfig struct {
	Target netip.AddrPort // by UDP, if valid
}

// engineIDs returns the engines' ids.
func engineIDs() []string {
	ids := make([]string, fleetEngines)
	for i := range ids {
		ids[i] = fmt.Sprintf("http://10.0.%d.%d:8000", i/256, i%256)
	}
	return ids
}

// fleetState is the state of an engine that was taken at a moment.
func fleetState(id string, taken time.Time) state.State {
	return state.State{
		EngineID: id, TimestampMs: taken.UnixMilli(), LatencyPredMs: 21.253122228102537, SchedulingMode: "latency_optimized",
		PendingTokensTotal: taken.UnixMicro(), KVCacheFreeBlocks: 6151, KVCacheTotalBlocks: 8192, EngineCapacity: 59768.2749641796,
	}
}

// beEngines says where it is to be asked, or "", and at its end how many states it has sent.
func beEngines(text string) error {
	var cfg enginesConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	if !cfg.Target.IsValid() {
		return beAsked()
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(cfg.Target))
	if err != nil {
		return err
	}
	if err := say(""); err != nil {
		return err
	}
	ids, sent := engineIDs(), uint64(0)
	var payload []byte
	ctx, begin := untilStopped(), time.Now()
	for ctx.Err() == nil {
		time.Sleep(time.Millisecond)
		for due := uint64(time.Since(begin) * fleetEngines / fleetInterval); sent < due; sent++ {
			s := fleetState(ids[sent%fleetEngines], time.Now())
			payload = s.AppendJSON(payload[:0])
			if _, err := conn.Write(payload); err != nil {
				return err
			}
		}
	}
	return say(sent)
}

// beAsked takes a state of each engine at its time, evenly spread over the interval, and answers with the newest.
func beAsked() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ids, begin := engineIDs(), time.Now()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.URL.Query().Get("engine"))
		if err != nil || i < 0 || i >= len(ids) {
			http.Error(w, "engine", http.StatusBadRequest)
			return
		}
		offset := fleetInterval * time.Duration(i) / fleetEngines
		s := fleetState(ids[i], begin.Add((time.Since(begin)-offset).Truncate(fleetInterval)+offset))
		w.Write(s.AppendJSON(nil))
	})}
	go server.Serve(listener)
	if err := say("http://" + listener.Addr().String()); err != nil {
		return err
	}
	<-untilStopped().Done()
	server.Close()
	return say(uint64(time.Since(begin) * fleetEngines / fleetInterval))
}

// routerConfig is a router that keeps the states in a map. How it gets them is the method.
type routerConfig struct {
	Method string // watch, poll (ten times a second) or scrape (each engine every 50 ms)
	URL    string // of the gateway, or of the engines
	WarmUp time.Duration
	Run    time.Duration
}

// latest is how long after the run a state may become visible and still count.
const latest = time.Second

// routerReport is what it says at the end: of each state that it has seen, how long that took since it was taken.
type routerReport struct {
	P50, P99 float64 // ms
	Seen     uint64  // states that were new to it
	Answers  uint64  // events, or answers
}

// view is what a router has, and how old each state was when it got it.
type view struct {
	mu      sync.Mutex
	newest  map[string]int64 // by engine: pending_tokens_total
	waits   []time.Duration
	answers uint64

	from, until time.Time // the states that count were taken in between
}

// fleetJSON is what the router reads of a state; the others are read, too, as a router does.
type fleetJSON struct {
	EngineID           string  `json:"engine_id"`
	TimestampMs        int64   `json:"timestamp_ms"`
	LatencyPredMs      float64 `json:"latency_pred_ms"`
	SchedulingMode     string  `json:"scheduling_mode"`
	PendingTokensTotal int64   `json:"pending_tokens_total"`
	KVCacheFreeBlocks  int64   `json:"kv_cache_free_blocks"`
	KVCacheTotalBlocks int64   `json:"kv_cache_total_blocks"`
	EngineCapacity     float64 `json:"engine_capacity"`
}

func (v *view) take(states ...fleetJSON) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers++
	for _, s := range states {
		if v.newest[s.EngineID] == s.PendingTokensTotal {
			continue
		}
		v.newest[s.EngineID] = s.PendingTokensTotal
		if taken := time.UnixMicro(s.PendingTokensTotal); taken.After(v.from) && taken.Before(v.until) {
			v.waits = append(v.waits, now.Sub(taken))
		}
	}
}

func beRouter(text string) error {
	var cfg routerConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	v := &view{newest: map[string]int64{}, from: time.Now().Add(cfg.WarmUp), until: time.Now().Add(cfg.WarmUp + cfg.Run)}
	ctx, cancel := context.WithTimeout(untilStopped(), cfg.WarmUp+cfg.Run+latest)
	defer cancel()
	method := map[string]func(context.Context, string, *view) error{"watch": watchStates, "poll": pollStates, "scrape": scrapeStates}[cfg.Method]
	if err := method(ctx, cfg.URL, v); err != nil && ctx.Err() == nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	slices.Sort(v.waits)
	at := func(p float64) float64 {
		if len(v.waits) == 0 {
			return 0
		}
		return float64(v.waits[int(float64(len(v.waits)-1)*p/100)].Microseconds()) / 1000
	}
	return say(routerReport{at(50), at(99), uint64(len(v.waits)), v.answers})
}

func watchStates(ctx context.Context, url string, v *view) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/watch", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for lines := bufio.NewReaderSize(response.Body, 1<<20); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		var event struct{ States map[string]fleetJSON }
		if err := json.Unmarshal(data, &event); err != nil {
			return err
		}
		states := make([]fleetJSON, 0, len(event.States))
		for _, s := range event.States {
			states = append(states, s)
		}
		v.take(states...)
	}
}

// getInto asks for a URL and reads the JSON that comes.
func getInto(ctx context.Context, client *http.Client, url string, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

func pollStates(ctx context.Context, url string, v *view) error {
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		var answer map[string]fleetJSON
		if err := getInto(ctx, http.DefaultClient, url+"/v1/engine-states", &answer); err != nil {
			return err
		}
		states := make([]fleetJSON, 0, len(answer))
		for _, s := range answer {
			states = append(states, s)
		}
		v.take(states...)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// scrapeStates asks each engine on a connection of its own; the times are spread, and an answer that is late delays the next.
func scrapeStates(ctx context.Context, url string, v *view) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: fleetEngines, MaxConnsPerHost: fleetEngines}}
	const every = 50 * time.Millisecond
	var engines sync.WaitGroup
	for i := range fleetEngines {
		engines.Go(func() {
			time.Sleep(every * time.Duration(i) / fleetEngines)
			target := fmt.Sprintf("%s/?engine=%d", url, i)
			for tick := time.NewTicker(every); ; {
				var s fleetJSON
				if err := getInto(ctx, client, target, &s); err != nil {
					return
				}
				v.take(s)
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	engines.Wait()
	return ctx.Err()
}

// served is a gateway with its HTTP side on a free port of loopback.
type served struct {
	*gatewaySubject
	http *api.Server
	done chan error
}

func startServed(b *testing.B) *served {
	b.Helper()
	s := &served{gatewaySubject: gatewayWith(nil)(b).(*gatewaySubject), done: make(chan error, 1)}
	server, err := api.Listen("127.0.0.1:0", api.New(s.Table(), s, api.Info{Rules: s.Rules(), Started: s.Now()}, quiet), quiet)
	if err != nil {
		b.Fatal(err)
	}
	s.http = server
	go func() { s.done <- server.Serve() }()
	return s
}

func (s *served) stop(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		b.Log(err) // what was stalled was cut off
	}
	<-s.done
	s.gatewaySubject.stop()
}

// BenchmarkWatchVisible measures how long it takes from the moment at which an engine takes its state to the one at which a
// router has it in a map, with 1,000 engines that take one every 200 ms: by /v1/watch, by polling /v1/engine-states ten times
// a second, and without a gateway by asking each engine every 50 ms. The engines, the router and the gateway are a process
// each. seen-% is how many of the states the router got to see; router-cpu-% and engines-cpu-% are shares of one processor,
// and so is gateway-cpu-%.
func BenchmarkWatchVisible(b *testing.B) {
	for _, method := range []string{"watch", "poll", "scrape"} {
		b.Run(method, func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			for range b.N {
				measureVisible(b, routerConfig{Method: method, WarmUp: 2 * time.Second, Run: 10 * time.Second})
			}
		})
	}
}

func measureVisible(b *testing.B, cfg routerConfig) {
	b.Helper()
	var engines *child
	begin := time.Now()
	cpu := processCPU(b)
	if cfg.Method == "scrape" {
		engines = startChild(b, enginesVariable, enginesConfig{})
		engines.hear(b, &cfg.URL)
	} else {
		gateway := startServed(b)
		defer gateway.stop(b)
		engines = startChild(b, enginesVariable, enginesConfig{Target: gateway.address()})
		engines.hear(b, new(string))
		cfg.URL = "http://" + gateway.http.Addr().String()
	}
	router := startChild(b, routerVariable, cfg)
	var report routerReport
	router.hear(b, &report)
	cpu = processCPU(b) - cpu
	wall := time.Since(begin)
	router.stdin.Close()
	if err := router.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	var sent uint64
	engines.stop(b, &sent)

	share := func(cpu time.Duration) float64 { return 100 * cpu.Seconds() / wall.Seconds() }
	b.ReportMetric(report.P50, "p50-ms")
	b.ReportMetric(report.P99, "p99-ms")
	b.ReportMetric(100*float64(report.Seen)/(cfg.Run.Seconds()*fleetEngines/fleetInterval.Seconds()), "seen-%")
	b.ReportMetric(float64(report.Answers)/(cfg.WarmUp+cfg.Run+latest).Seconds(), "answers/s")
	b.ReportMetric(share(router.cpu()), "router-cpu-%")
	b.ReportMetric(share(engines.cpu()), "engines-cpu-%")
	if cfg.Method != "scrape" {
		b.ReportMetric(share(cpu), "gateway-cpu-%")
	}
}
