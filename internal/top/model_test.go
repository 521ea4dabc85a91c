package top

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/elrar/state-gateway/client"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// engine returns a fresh engine that was heard of 100 ms before noon.
func engine(id string, change ...func(*client.Engine)) client.Engine {
	interval, source := 203.5, "192.0.2.7:40000"
	e := client.Engine{
		State: client.State{EngineID: id, LatencyPredMs: 21.25, SchedulingMode: "balanced", PendingTokensTotal: 1200,
			KVCacheFreeBlocks: 250, KVCacheTotalBlocks: 1000, EngineCapacity: 59768},
		Status: client.Fresh, PushIntervalMs: &interval, SourceAddr: &source,
		Heard: noon.Add(-100 * time.Millisecond), StaleAfter: 2 * time.Second,
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func latency(ms float64) func(*client.Engine)     { return func(e *client.Engine) { e.LatencyPredMs = ms } }
func status(s client.Status) func(*client.Engine) { return func(e *client.Engine) { e.Status = s } }
func free(blocks int64) func(*client.Engine) {
	return func(e *client.Engine) { e.KVCacheFreeBlocks = blocks }
}
func age(d time.Duration) func(*client.Engine) {
	return func(e *client.Engine) { e.Heard = noon.Add(-d) }
}
func mode(name string) func(*client.Engine) {
	return func(e *client.Engine) { e.SchedulingMode = name }
}
func skew(ms int64) func(*client.Engine) { return func(e *client.Engine) { e.ClockSkewMs = ms } }
func conflict(e *client.Engine)          { e.Conflict = true }
func unknown(e *client.Engine)           { e.PushIntervalMs, e.SourceAddr = nil, nil }
func following(url string) client.GatewayStatus {
	return client.GatewayStatus{URL: url, Connected: true, Streams: 1, LastEvent: noon}
}

// showing returns a model that has seen engines of one gateway.
func showing(width, height int, engines ...client.Engine) *model {
	m := newModel(1)
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(seenMsg{at: noon, engines: engines, gateways: []client.GatewayStatus{following("http://gateway:8080")}})
	return m
}

// keys are the names of those that have no text.
var keys = map[string]rune{"up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "pgup": tea.KeyPgUp,
	"pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "esc": tea.KeyEscape, "enter": tea.KeyEnter, "backspace": tea.KeyBackspace}

// press presses keys and reports whether the last one ends the program.
func press(m *model, names ...string) (quit bool) {
	for _, name := range names {
		key := tea.KeyPressMsg{Text: name, Code: []rune(name)[0]}
		if code, ok := keys[name]; ok {
			key = tea.KeyPressMsg{Code: code}
		} else if rest, ok := strings.CutPrefix(name, "ctrl+"); ok {
			key = tea.KeyPressMsg{Code: rune(rest[0]), Mod: tea.ModCtrl}
		}
		_, cmd := m.Update(key)
		quit = false
		if cmd != nil {
			_, quit = cmd().(tea.QuitMsg)
		}
	}
	return quit
}

func ids(m *model) (all []string) {
	for _, e := range m.rows {
		all = append(all, e.EngineID)
	}
	return all
}

// screen returns what is shown, without styles.
func screen(m *model) string { return ansi.Strip(m.View().Content) }

func TestSortAndFilter(t *testing.T) {
	engines := []client.Engine{
		engine("b", latency(3), status(client.Stale), free(-1), conflict),
		engine("A", latency(1), free(900), age(3*time.Second), mode("throughput_optimized")),
		engine("c", latency(2), status(client.Idle), free(100), skew(-5000)),
		engine("ab", latency(2), free(0), unknown),
	}
	for _, test := range []struct {
		keys []string
		want string
	}{
		{nil, "A ab b c"},
		{[]string{"1"}, "c b ab A"},
		{[]string{"r"}, "c b ab A"},
		{[]string{"2"}, "A ab c b"},
		{[]string{"3"}, "A ab c b"},
		{[]string{"4"}, "b ab c A"},
		{[]string{"4", "4"}, "A ab c b"},
		{[]string{"4", "r"}, "A ab c b"},
		{[]string{"6"}, "ab c A b"}, // not known comes last
		{[]string{"6", "r"}, "A c ab b"},
		{[]string{"7"}, "A ab b c"},
		{[]string{"8"}, "ab b c A"},
		{[]string{"right", "right", ">", "left"}, "A ab c b"},
		{[]string{"left", "left"}, "A b c ab"}, // EVERY
		{[]string{"left", "left", "r"}, "A b c ab"},
		{[]string{"/", "a"}, "A ab"},
		{[]string{"/", "a", "B", "enter", "4"}, "ab"},
		{[]string{"/", "a", "b", "backspace", "enter"}, "A ab"},
		{[]string{"/", "a", "esc"}, "A ab b c"},
		{[]string{"/", "a", "ctrl+u", "c"}, "c"},
		{[]string{"/", "q"}, ""},
		{[]string{"s"}, "A ab"},
		{[]string{"s", "s"}, "c"},
		{[]string{"s", "s", "s"}, ""},
		{[]string{"s", "s", "s", "s"}, "b"},
		{[]string{"s", "s", "s", "s", "s"}, "A ab b c"},
		{[]string{"?", "4"}, "A ab b c"}, // which only closes the help
		{[]string{"0", "x", "enter"}, "A ab b c"},
	} {
		m := showing(100, 24, engines...)
		if press(m, test.keys...) {
			t.Errorf("%q ends it", test.keys)
		}
		if got := strings.Join(ids(m), " "); got != test.want {
			t.Errorf("%q: %s, want %s", test.keys, got, test.want)
		}
	}
	m := showing(100, 24, engines...)
	press(m, "/")
	m.Update(tea.PasteMsg{Content: "A"})
	if got := strings.Join(ids(m), " "); got != "A ab" {
		t.Errorf("pasted: %s", got)
	}
}

func TestQuit(t *testing.T) {
	for _, test := range []struct {
		keys string
		want bool
	}{
		{"q", true}, {"esc", true}, {"ctrl+c", true}, {"/ ctrl+c", true}, {"? ctrl+c", true}, {"/ esc esc", true}, {"? q q", true},
		{"/ q", false}, {"/ esc", false}, {"? q", false}, {"? esc", false}, {"x", false},
	} {
		if got := press(showing(80, 24, engine("a")), strings.Fields(test.keys)...); got != test.want {
			t.Errorf("%s: %v", test.keys, got)
		}
	}
}

func TestScroll(t *testing.T) {
	var engines []client.Engine
	for i := range 2000 {
		engines = append(engines, engine(fmt.Sprintf("engine-%04d", i)))
	}
	m := showing(100, 24, engines...)
	page := m.page()
	if page != 20 { // less two lines of the head, the titles, and the foot
		t.Fatalf("%d rows on a screen", page)
	}
	for _, test := range []struct {
		keys string
		top  int
	}{
		{"up", 0}, {"down", 1}, {"down", 2}, {"up", 1}, {"pgdown", 21}, {"pgup", 1}, {"pgup", 0}, {"end", 1980}, {"down", 1980},
		{"pgup", 1960}, {"home", 0}, {"end", 1980},
	} {
		press(m, test.keys)
		first, last := fmt.Sprintf("engine-%04d ", test.top), fmt.Sprintf("engine-%04d ", test.top+page-1)
		lines := strings.Split(screen(m), "\n")
		if m.top != test.top || !strings.HasPrefix(lines[3], first) || !strings.HasPrefix(lines[22], last) ||
			!strings.HasPrefix(lines[23], fmt.Sprintf("%d-%d of 2000 ", test.top+1, test.top+page)) {
			t.Fatalf("after %s from %d:\n%s", test.keys, m.top, screen(m))
		}
	}
	// Fewer engines, or a larger screen, leave no empty rows below.
	m.Update(tea.WindowSizeMsg{Width: 100, Height: 34})
	if m.top != 1970 {
		t.Errorf("after a resize it shows from %d on", m.top)
	}
	m.Update(seenMsg{at: noon, engines: engines[:50], gateways: m.seen.gateways})
	if m.top != 20 {
		t.Errorf("of fewer engines it shows from %d on", m.top)
	}
	press(m, "/", "7")
	if m.top != 0 {
		t.Errorf("of filtered ones it shows from %d on", m.top)
	}
}

// TestSize: a size that the library has missed is asked for, once it is seen and until it is there.
func TestSize(t *testing.T) {
	m := showing(100, 24)
	for _, test := range []struct {
		width, height int
		asks          bool
	}{{100, 24, false}, {0, 0, false}, {100, 25, true}, {99, 24, true}} {
		_, cmd := m.Update(seenMsg{at: noon, width: test.width, height: test.height})
		if asks := cmd != nil && cmd() == tea.RequestWindowSize(); asks != test.asks {
			t.Errorf("%+v: %v", test, asks)
		}
	}
}

// hostile has in each text what a terminal would act upon, and in each number the largest.
func hostile() client.Engine {
	const text = "\x1b]0;title\x07\x1b[2J\u009b31m\u202e\u05d0\r\ne\u0301"
	source := "source " + text
	e := engine("http://"+text+strings.Repeat("x", 200), mode("mode "+text), status("status "+text), conflict, age(1e9*time.Second))
	e.SourceAddr = &source
	e.LatencyPredMs, e.EngineCapacity = math.MaxFloat64, math.MaxFloat64
	e.PendingTokensTotal, e.KVCacheFreeBlocks, e.KVCacheTotalBlocks, e.ClockSkewMs = 1<<53, 1<<53, 1, math.MinInt64+1
	return e
}

var styles = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// TestScreen: on terminals of all sizes the screen has their height, no line is wider than they are, and nothing that came
// from outside has an effect.
func TestScreen(t *testing.T) {
	bad := errors.New("\x1b[31mno\nway \u202e")
	for _, keys := range [][]string{nil, {"?"}, {"/", "\u202e", "x", "backspace"}, {"s"}} {
		for width := 1; width <= 120; width++ {
			for _, height := range []int{1, 2, 5, 24} {
				m := showing(width, height, engine("http://172.17.0.3:8000"), hostile(), engine("z", status(client.Stale)), engine("\u5f15\u64ce"))
				m.seen.gateways[0].Connected, m.seen.gateways[0].Problem = width%2 == 0, bad
				m.Update(statsMsg{stats: stats{TotalReceived: 1 << 60, InvalidStates: 1 << 60, Rejected: map[string]uint64{"\x1b": 1}, LogTrouble: "\x1b[1m"}, at: noon})
				m.Update(statsMsg{err: bad, at: noon})
				press(m, keys...)
				lines := strings.Split(m.View().Content, "\n")
				if len(lines) != height {
					t.Fatalf("%d×%d, %q: %d lines", width, height, keys, len(lines))
				}
				for _, line := range lines {
					text := styles.ReplaceAllString(line, "")
					if w := ansi.StringWidth(text); w > width {
						t.Fatalf("%d×%d, %q: %d cells: %q", width, height, keys, w, text)
					}
					if strings.ContainsFunc(text, func(r rune) bool {
						return r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u202e' || r == '\u05d0' || r == '\u0301'
					}) {
						t.Fatalf("%d×%d, %q: %q", width, height, keys, text)
					}
					if strings.Contains(line, "\x1b[2J") || strings.Contains(line, "\x1b[31mno") {
						t.Fatalf("%q", line)
					}
				}
			}
		}
	}
	if text := screen(showing(400, 24, hostile())); !strings.Contains(text, `http://\x1b]0;title\a\x1b[2J\u009b31m\u202e\u05d0\r\ne\u0301xxx`) ||
		!strings.Contains(text, `status \x1b…`) || !strings.Contains(text, "conflict clock +") {
		t.Error(text)
	}
}

// TestLayout: the columns that a width has room for, the most important first, and the rest for those that have much to say.
func TestLayout(t *testing.T) {
	usual := []client.Engine{engine("http://172.17.0.3:8000", mode("throughput_optimized")), engine("http://172.17.0.4:8000")}
	marked := append(slices.Clone(usual), engine("x", conflict))
	unknown := []client.Engine{engine("http://172.17.0.3:8000", unknown)}
	for _, test := range []struct {
		engines []client.Engine
		width   int
		want    string
	}{
		{usual, 200, "ENGINE 22, STATUS 12, LATENCY 9, QUEUE 7, KV 16, AGE 6, MODE 20, CAPACITY 9, EVERY 9, SOURCE 15"},
		{usual, 100, "ENGINE 22, STATUS 12, LATENCY 9, QUEUE 7, KV 16, AGE 6, MODE 16"},
		{usual, 80, "ENGINE 21, STATUS 12, LATENCY 9, QUEUE 7, KV 5, AGE 6, MODE 8"},
		{usual, 60, "ENGINE 22, STATUS 12, LATENCY 9, QUEUE 7"},
		{usual, 40, "ENGINE 22, STATUS 12"},
		{usual, 22, "ENGINE 22"},
		{usual, 10, "ENGINE 10"},
		{usual, 1, "ENGINE 1"},
		{marked, 80, "ENGINE 21, STATUS 12, MARKS 8, LATENCY 9, QUEUE 7, KV 5, AGE 6"},
		{unknown, 200, "ENGINE 22, STATUS 12, LATENCY 9, QUEUE 7, KV 16, AGE 6, MODE 8, CAPACITY 9, EVERY 9"},
		{nil, 80, "ENGINE 7, STATUS 12, LATENCY 9, QUEUE 7, KV 16, AGE 6, CAPACITY 9"},
	} {
		var pointers []*client.Engine
		for i := range test.engines {
			pointers = append(pointers, &test.engines[i])
		}
		var got []string
		for _, p := range layout(pointers, noon, test.width) {
			got = append(got, fmt.Sprintf("%s %d", columns[p.column].title, p.width))
		}
		if text := strings.Join(got, ", "); text != test.want {
			t.Errorf("%d cells:\ngot  %s\nwant %s", test.width, text, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	m := showing(120, 8, engine("http://172.17.0.3:8000", mode("latency_optimized")), engine("http://172.17.0.4:8000", status(client.Stale), age(95*time.Second)),
		engine("http://172.17.0.5:8000", conflict, skew(12_300), free(-1), latency(12345678)))
	want := `
http://gateway:8080  following
3 engines  2 fresh  1 stale  1 in conflict  1 with a wrong clock
ENGINE▲                 STATUS        MARKS                  LATENCY    QUEUE                KV     AGE  MODE
http://172.17.0.3:8000  fresh                                21.2 ms     1200  ||||||||     75%    0.1s  latency_optimi…
http://172.17.0.4:8000  stale                                21.2 ms     1200  ||||||||     75%   1m35s  balanced
http://172.17.0.5:8000  fresh         conflict clock -12s   12.3M ms     1200                 -    0.1s  balanced

1-3 of 3  q quit  ? help  / filter  s status  1-9 sort  r reverse`
	got := screen(m)
	if regexp.MustCompile(`(?m) +$`).ReplaceAllString(got, "") != want[1:] {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
	// What is marked has a colour beside its text.
	lines := strings.Split(m.View().Content, "\n")
	for i, style := range map[int]ansi.Style{4: alarm, 5: warning} {
		if !strings.HasPrefix(lines[i], style.String()+"http://") {
			t.Errorf("%q", lines[i])
		}
	}
}

// TestLink: what is said of a gateway, from the first attempt to the second loss.
func TestLink(t *testing.T) {
	m := showing(100, 24, engine("a"))
	refused := errors.New("dial: connection refused")
	for _, step := range []struct {
		at     time.Duration
		status client.GatewayStatus
		want   string
	}{
		{0, client.GatewayStatus{}, "connecting"},
		{1, client.GatewayStatus{Problem: refused}, "NOT REACHED: dial: connection refused"},
		{5, client.GatewayStatus{Connected: true, Streams: 1, LastEvent: noon.Add(5 * time.Second)}, "FOUND again 0.0s ago"},
		{9, client.GatewayStatus{Connected: true, Streams: 1, LastEvent: noon.Add(8 * time.Second)}, "FOUND again 4.0s ago"},
		{15, client.GatewayStatus{Connected: true, Streams: 1, LastEvent: noon.Add(14 * time.Second)}, "following"},
		{16, client.GatewayStatus{Connected: true, Streams: 1, LastEvent: noon.Add(14 * time.Second)}, "silent for 2.0s"},
		{17, client.GatewayStatus{Streams: 1, LastEvent: noon.Add(14 * time.Second), Problem: refused}, "LOST, the view is 3.0s old: dial: connection refused"},
		{90, client.GatewayStatus{Streams: 1, LastEvent: noon.Add(14 * time.Second), Problem: refused}, "LOST, the view is 1m16s old: dial: connection refused"},
		{91, client.GatewayStatus{Connected: true, Streams: 2, LastEvent: noon.Add(91 * time.Second)}, "FOUND again 0.0s ago"},
	} {
		step.status.URL = "http://gateway:8080"
		m.Update(seenMsg{at: noon.Add(step.at * time.Second), gateways: []client.GatewayStatus{step.status}})
		if got := strings.TrimRight(strings.Split(screen(m), "\n")[0], " "); got != "http://gateway:8080  "+step.want {
			t.Errorf("%ds: %s, want %s", step.at, got, step.want)
		}
	}
}

// TestTwoGateways: each has its own lines.
func TestTwoGateways(t *testing.T) {
	m := newModel(2)
	lost := client.GatewayStatus{URL: "http://other:8080", LastEvent: noon.Add(-time.Minute), Problem: errors.New("refused")}
	m.Update(seenMsg{at: noon, gateways: []client.GatewayStatus{following("http://one:8080"), lost}})
	m.Update(statsMsg{gateway: 1, err: errors.New("none")})
	m.Update(statsMsg{gateway: 0, stats: stats{Applied: 1}, at: noon})
	want := []string{"http://one:8080  following  0.0 datagrams/s  0.0 applied/s  0 rejected", "0 out of order  0 kernel drops  0 log drops",
		"http://other:8080  LOST, the view is 1m00s old: refused  no figures: none", "0 engines  0 fresh"}
	if got := strings.Split(screen(m), "\n")[:4]; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestFigures: rates are of the last two answers of one process, and a failure leaves the last figures with their age.
func TestFigures(t *testing.T) {
	m := showing(300, 24)
	for _, step := range []struct {
		answer statsMsg
		want   string
	}{
		{statsMsg{err: errors.New("refused")}, "no figures: refused"},
		{statsMsg{stats: stats{UptimeSeconds: 10, TotalReceived: 100, Applied: 90}}, "0.0 datagrams/s  0.0 applied/s  0 rejected  0 out of order  0 kernel drops  0 log drops"},
		{statsMsg{stats: stats{UptimeSeconds: 12, TotalReceived: 200, Applied: 170, OutOfOrder: 3, InvalidStates: 3, Rejected: map[string]uint64{"type": 1, "json": 2, "range": 0}}},
			"50.0 datagrams/s  40.0 applied/s  3 rejected (json 2, type 1) (+1.5/s)  3 out of order (+1.5/s)  0 kernel drops  0 log drops"},
		{statsMsg{stats: stats{UptimeSeconds: 13, TotalReceived: 200, Applied: 170, OutOfOrder: 3, KernelDropped: 20000, LogDropped: 7, LogTrouble: "no space left on device"}},
			"0.0 datagrams/s  0.0 applied/s  0 rejected  3 out of order  20000 kernel drops (+20.0k/s)  7 log drops (+7.0/s)  log: no space left on device"},
		{statsMsg{stats: stats{UptimeSeconds: 1, TotalReceived: 50, Applied: 50}}, // another process
			"0.0 datagrams/s  0.0 applied/s  0 rejected  0 out of order  0 kernel drops  0 log drops"},
		{statsMsg{stats: stats{UptimeSeconds: 2, TotalReceived: 60, Applied: 60}},
			"10.0 datagrams/s  10.0 applied/s  0 rejected  0 out of order  0 kernel drops  0 log drops"},
		{statsMsg{err: errors.New("refused")},
			"10.0 datagrams/s  10.0 applied/s  0 rejected  0 out of order  0 kernel drops  0 log drops  figures of 4.0s ago: refused"},
	} {
		step.answer.at = noon.Add(-4 * time.Second)
		m.Update(step.answer)
		if got := strings.TrimRight(strings.Split(screen(m), "\n")[0], " "); got != "http://gateway:8080  following  "+step.want {
			t.Errorf("got  %s\nwant %s", got, step.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 12: "12", 99999: "99999", 100000: "100.0k", 999_949: "999.9k", 999_951: "1.0M", 1 << 53: "9.0P", 1e300: "1e+300"} {
		if got := count(v); got != want {
			t.Errorf("count(%v) is %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0.0", 21.253: "21.3", 9999.9: "9999.9", 9999.96: "10.0k", math.MaxFloat64: "2e+308"} {
		if got := decimal(v); got != want {
			t.Errorf("decimal(%v) is %s, want %s", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0.0s", 0: "0.0s", 9999 * time.Millisecond: "9.9s", 10 * time.Second: "10s", 59999 * time.Millisecond: "59s",
		time.Minute: "1m00s", 59*time.Minute + 59*time.Second: "59m59s", time.Hour: "1h00m", 999*time.Hour + 59*time.Minute: "999h59m"} {
		if got := span(d); got != want {
			t.Errorf("span(%v) is %s, want %s", d, got, want)
		}
	}
}
