package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

var update = flag.Bool("update", false, "write docs/top.txt and docs/top.svg anew")

// push sends a state, newer than the one before it.
func push(t *testing.T, conn net.Conn, s state.State) {
	t.Helper()
	if s.SchedulingMode == "" {
		s.SchedulingMode = "balanced"
	}
	if s.TimestampMs == 0 {
		s.TimestampMs = time.Now().UnixMilli()
	}
	if _, err := conn.Write(s.AppendJSON(nil)); err != nil {
		t.Fatal(err)
	}
}

// keepPushing calls send every 100 ms until the test ends or stop is called.
func keepPushing(t *testing.T, send func()) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				send()
			}
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// rows returns the ids in the table on a screen, in its order.
func rows(screen string) (ids []string) {
	_, table, _ := strings.Cut(screen, "ENGINE")
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], "engine-") {
			ids = append(ids, fields[0])
		}
	}
	return ids
}

// TestTopKeys: sorting, filtering, scrolling, help, sizes and the end, in a real terminal.
func TestTopKeys(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=3600000")
	const engines = 40
	conn := p.dial(t)
	for i := range engines {
		push(t, conn, state.State{EngineID: fmt.Sprintf("engine-%02d", i), LatencyPredMs: float64((i*7)%engines) + 1, EngineCapacity: 1000})
	}
	p.awaitAccounted(t, engines)
	term := openPane(t, nil, "top", "--url", p.url+"/")
	first := func(id string) {
		t.Helper()
		term.await(id+" at the top", func(s string) bool { ids := rows(s); return len(ids) > 0 && ids[0] == id })
	}
	screen := term.shows("40 engines", "40 fresh", "following", "datagrams/s", "0 rejected", "0 kernel drops", "0 log drops", "1-19 of 40", "ENGINE▲")
	if ids := rows(screen); len(ids) != 19 || ids[0] != "engine-00" || ids[18] != "engine-18" {
		t.Errorf("%q", ids)
	}
	term.press("4")
	first("engine-17") // 17 × 7 = 119, which is 39 more than twice 40
	term.shows("LATENCY▼")
	term.press("r")
	first("engine-00")
	term.press("1")
	term.shows("ENGINE▲")
	term.press("PPage", "End")
	first("engine-21")
	term.shows("22-40 of 40")
	term.press("Up")
	first("engine-20")
	term.press("PPage")
	first("engine-01")
	term.press("Home", "NPage", "Down")
	first("engine-20")
	term.press("/")
	term.shows("engine_id has: _")
	term.press("E-3")
	first("engine-30")
	term.press("q", "BSpace", "Enter") // q is text here
	term.shows("engine_id has E-3", "1-10 of 10")
	term.press("/", "Escape")
	term.shows("of 40")
	term.press("s", "s")
	term.shows("only idle", "0-0 of 0")
	term.press("s", "s", "s")
	term.shows("1-19 of 40")
	term.press("?")
	term.shows("sort by a column", "KV cache in use", "Any key closes this")
	term.press("q")
	first("engine-00")

	term.resize(30, 10)
	screen = term.await("a small screen", func(s string) bool { return len(rows(s)) > 0 && !strings.Contains(s, "LATENCY") })
	for line := range strings.Lines(screen) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 30 {
			t.Errorf("%q", line)
		}
	}
	term.resize(170, 50)
	term.shows("CAPACITY", "SOURCE", "1000.0/s", "1-40 of 40", p.url)
	term.resize(80, 24) // in another size than at its start, tmux itself leaves lines of the program on the shell's screen
	term.shows("1-19 of 40")
	term.press("q")
	if code, screen := term.ended(); code != 0 || screen != "" {
		t.Errorf("it ends with %d and leaves\n%s", code, screen)
	}
}

// TestTopEnds: Esc, Ctrl-C and signals end it, and leave the terminal as it was.
func TestTopEnds(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	for _, how := range []string{"Escape", "C-c", "SIGTERM"} {
		term := openPane(t, nil, "top", "--url", p.url)
		term.shows("following")
		if how == "SIGTERM" {
			if err := syscall.Kill(term.pid(), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		} else {
			term.press(how)
		}
		if code, left := term.ended(); code != 0 || left != "" {
			t.Errorf("%s: code %d, leaves\n%s", how, code, left)
		}
	}
}

// coloured finds a colour that is not the terminal's own.
var coloured = regexp.MustCompile(`\x1b\[([0-9]+;)*(3[0-8]|4[0-8]|9[0-7])[;m]`)

// TestTopStale: an engine falls silent and comes back, told by text and colour, or by text alone where colours are not
// wanted.
func TestTopStale(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=1000")
	conn := p.dial(t)
	keepPushing(t, func() { push(t, conn, state.State{EngineID: "engine-living", EngineCapacity: 1}) })
	stop := keepPushing(t, func() { push(t, conn, state.State{EngineID: "engine-silent", EngineCapacity: 1}) })
	term, without := openPane(t, nil, "top", "--url", p.url), openPane(t, []string{"NO_COLOR=please"}, "top", "--url", p.url)
	for _, term := range []*pane{term, without} {
		term.shows("2 fresh")
	}
	stop()
	for _, term := range []*pane{term, without} {
		term.shows("1 fresh  1 stale")
	}
	red := regexp.MustCompile(`\x1b\[[0-9;]*31m[^\n]*engine-silent`)
	if text := term.colours(); !red.MatchString(text) {
		t.Errorf("%q", text)
	}
	if text := without.colours(); coloured.MatchString(text) || !strings.Contains(text, "engine-silent") {
		t.Errorf("%q", text)
	}
	keepPushing(t, func() { push(t, conn, state.State{EngineID: "engine-silent", EngineCapacity: 1}) })
	term.shows("2 fresh")
}

// TestTopGatewayLost: a gateway that was never there, comes, is killed, and is back.
func TestTopGatewayLost(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	address := strings.TrimPrefix(p.url, "http://")
	p.stop(t, os.Kill)
	term := openPane(t, nil, "top", "--url", p.url)
	term.shows("NOT REACHED", "connection refused", "0 engines")

	again := func() *process {
		return startGateway(t, "HTTP_ADDRESS="+address, fmt.Sprintf("UDP_PORT=%d", p.udp.Port()))
	}
	p = again()
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: p.udp, Engines: 3, Interval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	running, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	defer senders.Wait()
	defer stop()
	senders.Go(func() { fleet.Run(running) })
	term.shows("FOUND again", "3 fresh")
	p.stop(t, os.Kill)
	term.shows("LOST, the view is", "3 stale", "http://10.0.0.1:8000")
	p = again()
	term.shows("FOUND again", "3 fresh")
}

// TestTopUntrusted: a gateway that passes everything on, as this one does not, has nothing to say to the terminal.
func TestTopUntrusted(t *testing.T) {
	t.Parallel()
	const id = "engine-\x1b]0;taken\x07\x1b[31m\x1b[2J\u009b1;1H\u202e\u05d0\r\ne\u0301"
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stats" {
			fmt.Fprint(w, `{"rejected": {"\u001b]0;taken\u0007": 1}, "invalid_states": 1, "uptime_seconds": 1, "log_trouble": "\u001b[31m"}`)
			return
		}
		engine, _ := json.Marshal(map[string]any{"engine_id": id, "status": "fresh\x1b[31m", "scheduling_mode": "\x1b[31mmode",
			"source_addr": "\x1b[31m", "age_ms": 0, "stale_after_ms": 1e9})
		name, _ := json.Marshal(id)
		w.Header().Set("Content-Type", "text/event-stream")
		for event := "snapshot"; r.Context().Err() == nil; event = "bookmark" {
			fmt.Fprintf(w, "event: %s\ndata: {\"states\": {%s: %s}}\n\n", event, name, engine)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}))
	defer fake.Close()
	defer fake.CloseClientConnections()
	term := openPane(t, nil, "top", "--url", fake.URL)
	before := term.tmux("display-message", "-p", "#{pane_title}")
	term.resize(200, 24)
	term.shows(`engine-\x1b]0;taken\a\x1b[31m\x1b[2J\u009b1;1H\u202e\u05d0\r\ne\u0301`, `fresh\x1b[3…`, `\x1b[31mmode`,
		`1 rejected (\x1b]0;taken\a 1)`, `log: \x1b[31m`, "1 engine ")
	if after := term.tmux("display-message", "-p", "#{pane_title}"); after != before {
		t.Errorf("the terminal's title was %q and is %q", before, after)
	}
	for line := range strings.Lines(term.colours()) {
		if strings.Contains(line, "engine-") && coloured.MatchString(line) {
			t.Errorf("colours in %q", line)
		}
	}
	term.press("q")
	if code, _ := term.ended(); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}

// TestTopPrints: without a terminal, one table and the end.
func TestTopPrints(t *testing.T) {
	t.Parallel()
	p := startGateway(t, "STALE_THRESHOLD=3600000")
	conn := p.dial(t)
	for i := range 3 {
		push(t, conn, state.State{EngineID: fmt.Sprintf("engine-%d\u202e", i), LatencyPredMs: 12.5, PendingTokensTotal: 7, KVCacheFreeBlocks: 1, KVCacheTotalBlocks: 4, EngineCapacity: 1000})
	}
	p.awaitAccounted(t, 3)
	want := regexp.MustCompile(`^ENGINE▲ +STATUS +LATENCY +QUEUE +KV +AGE +MODE +CAPACITY +EVERY +SOURCE\n` +
		`(engine-[012]\\u202e +fresh +12\.5 ms +7 +\|+ +75% +[0-9.ms]+ +balanced +1000\.0/s +- +127\.0\.0\.1:\d+\n){3}$`)
	if got := runBinary(t, nil, "top", "--url", p.url); got.code != 0 || got.stderr != "" || !want.MatchString(got.stdout) {
		t.Errorf("%+v", got)
	}
	if got := runBinary(t, env("URL="+p.url+"/"), "top"); got.code != 0 || !want.MatchString(got.stdout) {
		t.Errorf("by its variable: %+v", got)
	}
	address := p.url
	p.stop(t, os.Kill)
	got := runBinary(t, nil, "top", "--url", address)
	if got.code != 1 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "connection refused") {
		t.Errorf("no gateway: %+v", got)
	}
	if got := runBinary(t, nil, "top", "--url", "gateway"); got.code != 64 || !strings.Contains(got.stderr, "did you mean http://gateway?") {
		t.Errorf("no URL: %+v", got)
	}
}

// TestDemoOnTerminal: the demo shows the view, and ends with it, or by itself, with its summary.
func TestDemoOnTerminal(t *testing.T) {
	t.Parallel()
	summary := regexp.MustCompile(`sent \d+ = received`)
	term := openPane(t, nil, "demo", "--for=10m")
	term.shows("8 fresh", "ENGINE▲", "http://10.0.0.7:8000")
	term.press("q")
	if code, screen := term.ended(); code != 0 || !summary.MatchString(screen) || !strings.Contains(screen, "A state gateway with 8 simulated engines") {
		t.Errorf("it ends with %d and leaves\n%s", code, screen)
	}
	term = openPane(t, nil, "demo", "--for=1s")
	if code, screen := term.ended(); code != 0 || !summary.MatchString(screen) {
		t.Errorf("it ends with %d and leaves\n%s", code, screen)
	}
}

// TestDemoEngines: engines for a gateway that is there already.
func TestDemoEngines(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	got := runBinary(t, nil, "demo", "--target", p.udp.String(), "--engines=5", "--interval=50ms", "--for=500ms")
	var sent, refused uint64
	_, err := fmt.Sscanf(got.stdout, "5 simulated engines push a state every 50ms to udp://"+p.udp.String()+"\nsent %d, refused %d\n", &sent, &refused)
	if got.code != 0 || got.stderr != "" || err != nil || sent < 5 || refused != 0 {
		t.Fatalf("%+v", got)
	}
	if s := p.awaitAccounted(t, sent); s.TotalEngines != 5 {
		t.Errorf("%+v", s)
	}
}

// TestTopDocument: docs/top.txt is what the view looks like.
func TestTopDocument(t *testing.T) {
	t.Parallel()
	p := startGateway(t)
	states := []state.State{
		{EngineID: "http://10.0.0.1:8000", LatencyPredMs: 9.4, KVCacheFreeBlocks: 3280, KVCacheTotalBlocks: 4000},
		{EngineID: "http://10.0.0.2:8000", LatencyPredMs: 27.2, PendingTokensTotal: 7609, KVCacheFreeBlocks: 1320, KVCacheTotalBlocks: 4000},
		{EngineID: "http://10.0.0.3:8000", LatencyPredMs: 41.8, PendingTokensTotal: 12480, KVCacheFreeBlocks: 160, KVCacheTotalBlocks: 4000, SchedulingMode: "throughput_optimized"},
		{EngineID: "http://10.0.0.4:8000", LatencyPredMs: 17.1, PendingTokensTotal: 3104, KVCacheFreeBlocks: 2120, KVCacheTotalBlocks: 4000},
		{EngineID: "http://10.0.0.5:8000", LatencyPredMs: 22.9, PendingTokensTotal: 6168, KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1},
		{EngineID: "http://10.0.0.6:8000", LatencyPredMs: 8.1, KVCacheFreeBlocks: 3900, KVCacheTotalBlocks: 4000},
	}
	const conflict, silent, ahead, idle = 1, 3, 4, 5
	conns := []net.Conn{p.dial(t), p.dial(t)}
	turn := 0
	send := func() {
		for i, s := range states {
			if i == silent && turn > 0 {
				continue
			}
			s.EngineCapacity = 59768.3
			if i == idle && turn > 0 { // a heartbeat
				s = state.State{EngineID: s.EngineID, SchedulingMode: "latency_optimized", KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1}
			}
			s.TimestampMs = time.Now().UnixMilli()
			if i == ahead {
				s.TimestampMs += 4500
			}
			from := conns[0]
			if i == conflict {
				from = conns[turn%2]
			}
			push(t, from, s)
		}
		turn++
	}
	keepPushing(t, send)
	p.send(t, `{"engine_id": "http://10.0.0.9:8000"}`)
	term := openPane(t, nil, "top", "--url", p.url)
	const height = 13
	term.resize(100, height)
	volatile, spaces := regexp.MustCompile(`[0-9.]+`), regexp.MustCompile(` +`)
	shape := func(screen string) string {
		return spaces.ReplaceAllString(volatile.ReplaceAllString(screen, "0"), " ")
	}
	const file = "../../docs/top"
	if *update {
		term.await("all that there is to show", func(s string) bool {
			return strings.Contains(s, "1 idle  1 stale  1 in conflict  1 with a wrong clock") && strings.Contains(s, "MODE") && !strings.Contains(s, "(+") && !strings.Contains(s, " 0.0 datagrams/s")
		})
		write(t, file+".txt", term.screen()+"\n")
		write(t, file+".svg", svg(term.colours(), 100, height))
		return
	}
	text, err := os.ReadFile(file + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	term.await("as in the document (-update writes it):\n"+string(text), func(screen string) bool { return shape(screen+"\n") == shape(string(text)) })
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
