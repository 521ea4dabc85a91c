package browser

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp/kb"
)

const (
	many     = 2000
	mostRows = 60 // in the document: those in view of a window 900 pixels high, and a few to spare
)

// measured is how long one measurement takes; with STATE_SOAK it is long enough to mean something.
func measured() time.Duration {
	if os.Getenv("STATE_SOAK") == "" {
		return time.Second
	}
	return 12 * time.Second
}

// Two thousand engines, five states a second each: every one can be reached, few are in the document, and the page renders
// four times a second at most. The main thread's time is measured and logged; BENCHMARKS.md has it.
func TestManyEngines(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	engines := steady(many)
	engines[1234].mode = "throughput_optimized"
	for i := range engines {
		engines[i].latency = func(at time.Duration) float64 { return float64((i*7)%many+1) + at.Seconds()/10 }
	}
	(&fleet{to: g.udp, every: 200 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})
	// What the browser would tell this test of every event of the stream would be measured, too.
	call(b, network.Disable, cdp.Empty{})
	call(b, css.Disable, cdp.Empty{})
	call(b, dom.Disable, cdp.Empty{})
	b.wait(`document.getElementById("shown").textContent === "2,000 shown"`)

	b.measure("by id", false)
	b.measure("by id, the thread's own time", true)
	b.eval(`document.querySelector("thead .c-latency .sort").click()`)
	b.measure("by latency, the thread's own time", true)
	b.eval(`document.querySelector("#rows .id").click()`)
	b.measure("by latency and with one engine's detail, the thread's own time", true)
	b.eval(`document.querySelector("#detail .close").click(); document.querySelector("thead .c-engine .sort").click()`)

	// From one end to the other by the keyboard.
	b.wait(`document.querySelector("#rows .id").textContent === "` + engines[0].id + `"`)
	b.eval(`document.querySelector("#rows .id").focus()`)
	b.keys(kb.End)
	b.wait(`document.activeElement.textContent === "` + engines[many-1].id + `"`)
	b.wait(fmt.Sprintf(`document.activeElement.closest("tr").ariaRowIndex === "%d" && document.getElementById("table").ariaRowCount === "%[1]d"`, many+1))
	b.keys(kb.PageUp)
	b.wait(fmt.Sprintf(`Number(document.activeElement.closest("tr").ariaRowIndex) < %d`, many-5))
	b.keys(kb.Home)
	b.wait(`document.activeElement.textContent === "` + engines[0].id + `"`)
	if rows := eval[int](b, `document.querySelectorAll("#rows tr").length`); rows > mostRows || rows < 10 {
		t.Errorf("%d rows in the document", rows)
	}
	// What scrolls by is there.
	b.eval(`document.getElementById("viewport").scrollTop = 1000 * document.querySelector("#rows tr").offsetHeight`)
	b.wait(`[...document.querySelectorAll("#rows .id")].some((e) => e.textContent === "` + engines[1000].id + `")`)
	b.eval(`document.getElementById("filter").focus()`)
	b.keys("throughput")
	b.wait(ids + `.join() === "` + engines[1234].id + `"`)
}

// eval evaluates an expression for what it does.
func (b *tab) eval(expression string) {
	b.t.Helper()
	eval[bool](b, "("+"() => {"+expression+"; return true })()")
}

// measure logs what the page's main thread does, per second: its tasks' time as a clock shows it, or as much of it as the
// thread was running. It holds the page to few rows and few renderings.
func (b *tab) measure(what string, own bool) {
	b.t.Helper()
	domain := performance.EnableTimeDomainTimeTicks
	if own {
		domain = performance.EnableTimeDomainThreadTicks
	}
	call(b, performance.Enable, performance.EnableParams{TimeDomain: domain})
	defer call(b, performance.Disable, cdp.Empty{})
	type sample struct {
		Now     float64 `json:"now"`
		Events  float64 `json:"events"`
		Renders float64 `json:"renders"`
		Rows    int     `json:"rows"`
	}
	read := func() (sample, map[string]float64) {
		metrics := map[string]float64{}
		for _, m := range call(b, performance.GetMetrics, cdp.Empty{}).Metrics {
			metrics[m.Name] = m.Value
		}
		return eval[sample](b, `import("/page/main.js").then(({ counts }) =>
			({ now: performance.now(), ...counts, rows: document.querySelectorAll("#rows tr").length }))`), metrics
	}
	s0, m0 := read()
	b.wait(fmt.Sprintf(`performance.now() >= %f`, s0.Now+float64(measured().Milliseconds())))
	s1, m1 := read()
	seconds := (s1.Now - s0.Now) / 1000
	rate := func(name string) float64 { return 1000 * (m1[name] - m0[name]) / seconds }
	b.t.Logf("%s: main thread %.0f ms per second, of which script %.0f, style %.0f, layout %.0f; %s datagrams, %.1f events and %.1f renderings per second, %d rows, heap %.0f MB",
		what, rate("TaskDuration"), rate("ScriptDuration"), rate("RecalcStyleDuration"), rate("LayoutDuration"),
		eval[string](b, `document.getElementById("received-rate").textContent`), (s1.Events-s0.Events)/seconds, (s1.Renders-s0.Renders)/seconds, s1.Rows, m1["JSHeapUsedSize"]/1e6)
	if s1.Rows > mostRows {
		b.t.Errorf("%d rows in the document", s1.Rows)
	}
	if most := 4*seconds + 4; s1.Renders-s0.Renders > most {
		b.t.Errorf("%.0f renderings in %.1f s", s1.Renders-s0.Renders, seconds)
	}
	if s1.Events <= s0.Events || s1.Renders <= s0.Renders {
		b.t.Errorf("nothing happened: %+v, %+v", s0, s1)
	}
}
