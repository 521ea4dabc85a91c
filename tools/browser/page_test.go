package browser

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func always(time.Duration) bool { return true }

// steady returns n engines that differ in what the table is sorted by.
func steady(n int) []engine {
	var engines []engine
	for i := range n {
		engines = append(engines, engine{
			id: fmt.Sprintf("http://10.0.%d.%d:8000", i/250, i%250), used: float64(i%10) / 10,
			latency: func(time.Duration) float64 { return float64((i*7)%n + 1) },
			queue:   func(time.Duration) int { return (i * 3) % n },
		})
	}
	return engines
}

const (
	ids    = `[...document.querySelectorAll("#rows .id")].map((e) => e.textContent)`
	cells  = `[...document.querySelectorAll("#rows .c-%s")].map((e) => e.textContent)`
	status = `document.querySelector("#rows tr:nth-child(%d) .status").dataset.status === "%s"`
)

// The table shows every engine, its values change, and it is sorted and filtered as asked.
func TestTable(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	engines := steady(12)
	engines[3].mode = "throughput_optimized"
	engines[5].ahead = -time.Minute
	engines[6].twice = true
	engines[7].idle = always
	moving := engines[0].id
	engines[0].latency = func(at time.Duration) float64 { return 1000 + at.Seconds() }
	(&fleet{to: g.udp, every: 200 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})

	b.wait(ids + `.length === 12`)
	b.wait(`document.getElementById("link").textContent === "Live"`)
	var want []string
	for _, e := range engines {
		want = append(want, e.id)
	}
	if got := eval[[]string](b, ids); !slices.Equal(got, want) {
		t.Errorf("by id: %v", got)
	}
	b.wait(`document.getElementById("shown").textContent === "12 shown"`)
	b.wait(`Number(document.getElementById("received-rate").textContent) > 30`)

	// It is alive.
	latency := fmt.Sprintf(`document.querySelector('#rows .id[title="%s"]').closest("tr").querySelector(".c-latency span").textContent`, moving)
	before := eval[string](b, latency)
	b.wait(latency + ` !== "` + before + `"`)

	// Each column sorts, and sorts the other way at the second click.
	for _, column := range eval[[]string](b, `[...document.querySelectorAll("thead th")].map((th) => th.className.split(" ")[0])`) {
		head := "thead ." + column
		b.click(head + " .sort")
		first := eval[string](b, fmt.Sprintf(`document.querySelector("%s").ariaSort`, head))
		b.wait(`document.querySelectorAll("thead [aria-sort]").length === 1`)
		b.click(head + " .sort")
		b.wait(fmt.Sprintf(`document.querySelector("%s").ariaSort !== "%s"`, head, first))
	}
	b.click("thead .c-latency .sort")
	descending := `((a) => a.every((v, i) => i === 0 || a[i - 1] >= v))(`
	values := `[...document.querySelectorAll("#rows .c-%s span:first-child")].map((e) => Number(e.textContent.replace(/[,%%]/g, "")))`
	b.wait(descending + fmt.Sprintf(values, "latency") + `)`)
	b.wait(ids + `[0] === "` + moving + `"`)
	b.click("thead .c-queue .sort")
	b.wait(descending + fmt.Sprintf(values, "queue") + `)`)
	b.click("thead .c-kv .sort")
	b.wait(`(` + fmt.Sprintf(cells, "kv") + `).slice(0, 2).join() === "90%,80%"`)
	b.wait(`(` + fmt.Sprintf(cells, "kv") + `).at(-1) === "–"`) // not known is last
	b.click("thead .c-kv .sort")
	b.wait(`(` + fmt.Sprintf(cells, "kv") + `)[0] === "0%" && (` + fmt.Sprintf(cells, "kv") + `).at(-1) === "–"`)
	b.click("thead .c-flags .sort") // flagged ones first
	b.wait(`(` + ids + `).slice(0, 2).join() === "` + engines[6].id + `,` + engines[5].id + `"`)

	// The filter.
	b.click("#filter")
	b.keys("THROUGHPUT")
	b.wait(ids + `.join() === "` + engines[3].id + `"`)
	b.wait(`document.getElementById("shown").textContent === "1 of 12 shown"`)
	b.keys(" nothing like that")
	b.wait(`!document.getElementById("empty").hidden && document.getElementById("viewport").hidden`)
	b.click("#empty button")
	b.wait(ids + `.length === 12`)
	b.click(`.choice[data-status=initializing]`)
	b.wait(ids + `.join() === "` + engines[7].id + `"`)
	b.click(`.choice[data-status=initializing]`)
	b.click(`.choice[data-status=flagged]`)
	b.wait(ids + `.length === 2`)
	b.wait(`[...document.querySelectorAll("#rows .flag:not([hidden])")].map((e) => e.textContent).sort().join() === "clock,conflict"`)
}

// Who does not look costs nothing: a page that is not visible takes the events and renders nothing, and is up to date when
// it is looked at again.
func TestHidden(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	(&fleet{to: g.udp, every: 100 * time.Millisecond, engines: steady(3)}).run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length === 3`)
	show := func(hidden bool) {
		b.eval(fmt.Sprintf(`Object.defineProperty(document, "hidden", { value: %v, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"))`, hidden))
	}
	type counts struct {
		Events  int `json:"events"`
		Renders int `json:"renders"`
	}
	const read = `import("/page/main.js").then(({ counts }) => ({ ...counts }))`
	show(true)
	b.wait(`new Promise(requestAnimationFrame)`) // what was under way is done
	before := eval[counts](b, read)
	var after counts
	for end := time.Now().Add(patience); after.Events < before.Events+40; time.Sleep(50 * time.Millisecond) {
		if after = eval[counts](b, read); time.Now().After(end) {
			t.Fatalf("%+v, then %+v", before, after)
		}
	}
	if after.Renders != before.Renders {
		t.Errorf("%+v, then %+v", before, after)
	}
	show(false)
	b.wait(fmt.Sprintf(`import("/page/main.js").then(({ counts }) => counts.renders > %d)`, after.Renders))
}

// An engine that falls silent turns stale by the page's own clock, and comes back.
func TestStale(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	var silent atomic.Bool
	engines := steady(3)
	engines[1].silent = func(time.Duration) bool { return silent.Load() }
	(&fleet{to: g.udp, every: 100 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length === 3`)
	b.wait(fmt.Sprintf(status, 2, "fresh"))
	found := eval[float64](b, `performance.now()`) // at the latest; so soon after that the page tells no news of engines
	b.wait(fmt.Sprintf(`performance.now() > %f`, found+5000))
	silent.Store(true)
	b.wait(fmt.Sprintf(status, 2, "stale"))
	b.wait(`document.querySelector("#by-status [data-status=stale] b").textContent === "1"`)
	b.wait(`document.getElementById("news").textContent === "Went stale: ` + engines[1].id + `."`)
	if got := eval[bool](b, fmt.Sprintf(status, 1, "fresh")+"&&"+fmt.Sprintf(status, 3, "fresh")); !got {
		t.Error("the others are not fresh")
	}
	silent.Store(false)
	b.wait(fmt.Sprintf(status, 2, "fresh"))
	b.wait(`document.getElementById("news").textContent === "Came back: ` + engines[1].id + `."`)
}

// An engine that the gateway removes goes from the table, and its detail says so; when it comes back, both have it again.
func TestRemoved(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0", "--remove-after", "3000")
	var silent atomic.Bool
	engines := steady(3)
	engines[1].silent = func(time.Duration) bool { return silent.Load() }
	(&fleet{to: g.udp, every: 100 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length === 3`)
	b.click("#rows tr:nth-child(2) .id")
	const note = `document.querySelector("#detail .note").textContent`
	b.wait(note + ` === ""`)
	b.away(true) // a question about its history may cross the news that it has gone
	silent.Store(true)
	b.wait(ids + `.join() === "` + engines[0].id + `,` + engines[2].id + `"`)
	b.wait(note + `.startsWith("The gateway holds this engine no more")`)
	silent.Store(false)
	b.wait(ids + `.length === 3`)
	b.wait(note + ` === "" && document.querySelector("#detail .status").dataset.status === "fresh"`)
	b.wait(`document.querySelector("#rows tr:nth-child(2) .id").ariaExpanded === "true"`)
}

// A gateway that is killed is lost within seconds, and found when it runs again, without a reload.
func TestLostAndFound(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	f := &fleet{to: g.udp, every: 100 * time.Millisecond, engines: steady(4)}
	f.run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length === 4`)
	b.wait(fmt.Sprintf(status, 1, "fresh"))

	b.away(true)
	g.kill()
	b.wait(`document.getElementById("link").textContent === "Lost"`)
	b.wait(`!document.getElementById("banner").hidden && document.getElementById("banner").textContent.includes("has not answered for")`)
	b.wait(`document.body.classList.contains("lost") && document.title.startsWith("Lost")`)
	b.wait(`document.getElementById("news").textContent.startsWith("The gateway is lost")`)
	b.wait(fmt.Sprintf(status, 1, "stale")) // by the page's clock
	if got := eval[int](b, ids+`.length`); got != 4 {
		t.Errorf("%d engines are still shown", got)
	}

	startGateway(t, g.http, g.udp)
	b.wait(`document.getElementById("link").textContent === "Live" && document.getElementById("banner").hidden`)
	b.wait(`document.getElementById("news").textContent === "The gateway is back."`)
	b.wait(fmt.Sprintf(status, 1, "fresh"))
	b.away(false)
	b.wait(`!document.body.classList.contains("lost") && !document.getElementById("summary").hasAttribute("data-old")`)
}

// What a hostile engine calls itself is shown as text: no markup, nothing hidden, nothing turned round.
func TestHostileText(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	hostile := []string{
		`<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`,
		"\u202egro.live//:ptth", "http://a\u200b.example\u2066", "http://аpple.example/\u00a0\u3164x",
		"__proto__", "constructor", `";alert(1)//`, strings.Repeat("long", 64), "{n}", "$&",
	}
	var engines []engine
	for _, id := range hostile {
		engines = append(engines, engine{id: id, mode: `<b>mode</b>` + "\u202e"})
	}
	engines[7].latency = func(time.Duration) float64 { return math.MaxFloat64 }
	engines[7].queue = func(time.Duration) int { return 1 << 53 }
	(&fleet{to: g.udp, every: 100 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})
	b.wait(fmt.Sprintf(ids+`.length === %d`, len(hostile)))
	shown := eval[[]string](b, ids)
	for _, want := range []string{hostile[0], `\u{202e}gro.live//:ptth`, `http://a\u{200b}.example\u{2066}`,
		`http://аpple.example/\u{a0}\u{3164}x`, "__proto__", "constructor", hostile[6], hostile[7], "{n}", "$&"} {
		if !slices.Contains(shown, want) {
			t.Errorf("%q is not shown: %q", want, shown)
		}
	}
	if got := eval[[]string](b, fmt.Sprintf(cells, "mode")); got[0] != `<b>mode</b>\u{202e}` {
		t.Errorf("mode %q", got[0])
	}
	// The detail of each, with its own history.
	for i := range hostile {
		b.click(fmt.Sprintf("#rows tr:nth-child(%d) .id", i+1))
		name := eval[string](b, fmt.Sprintf(`document.querySelector("#rows tr:nth-child(%d) .id").textContent`, i+1))
		b.wait(fmt.Sprintf(`document.getElementById("detail-heading").textContent === %q`, name))
		b.wait(`document.querySelector("#detail path.line")?.getAttribute("d").length > 10`)
		b.keys("\u001b")
		b.wait(`document.getElementById("detail").hidden`)
	}
	if got := eval[int](b, `document.querySelectorAll("img, main script, #work b:not(.facts b)").length`); got != 0 {
		t.Errorf("%d elements came from outside", got)
	}
	if got := eval[string](b, `document.title`); got != "ELRAR State Gateway" {
		t.Errorf("title %q", got)
	}
	// A long id takes no more room than others, and can be read in whole.
	if got := eval[bool](b, `[...document.querySelectorAll("#rows tr")].every((tr) => tr.offsetHeight === document.querySelector("#rows tr").offsetHeight)`); !got {
		t.Error("the rows are not equally high")
	}
	if got := eval[bool](b, `document.documentElement.scrollWidth <= innerWidth`); !got {
		t.Error("the page is wider than the window")
	}
}

// One engine's detail: its history is drawn with axes and said in words, the states are listed, the address leads to it.
func TestDetail(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	engines := steady(3)
	(&fleet{to: g.udp, every: 100 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length === 3`)
	b.click("#rows tr:nth-child(2) .c-mode")
	b.wait(`document.getElementById("detail-heading").textContent === "` + engines[1].id + `"`)
	b.wait(`document.querySelectorAll("#detail svg").length === 3`)
	b.wait(`document.querySelectorAll("#detail svg:first-of-type .tick").length > 6`)
	b.wait(`/^Latency, last \d+ s: lowest 2.0, highest 2.0, newest 2.0$/.test(document.querySelector("#detail svg").getAttribute("aria-label"))`)
	b.click("#detail summary")
	b.wait(`document.querySelectorAll("#detail .raw li").length === 20`)
	if got := eval[string](b, `document.querySelector("#detail .raw li").textContent`); !strings.HasPrefix(got, `{"engine_id":"`+engines[1].id+`","timestamp_ms":`) {
		t.Error(got)
	}
	hash := eval[string](b, `location.hash`)
	b.click("#detail .close")
	b.wait(`document.getElementById("detail").hidden && location.hash === ""`)

	again := openTab(t, g, look{fragment: hash})
	again.wait(`document.getElementById("detail-heading")?.textContent === "` + engines[1].id + `"`)
}

// Without engines the page says how one is pointed here, and the datagram that it gives as an example works.
func TestEmpty(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	b := openTab(t, g, look{})
	b.wait(`!document.getElementById("empty").hidden`)
	_, port, _ := net.SplitHostPort(g.udp)
	if got := eval[string](b, `document.querySelector("#empty p").textContent`); !strings.Contains(got, "UDP port "+port) {
		t.Error(got)
	}
	example := eval[string](b, `document.querySelector("#empty code").textContent`)
	datagram, command, ok := strings.Cut(strings.TrimPrefix(example, "echo '"), "'")
	if !ok || command != " | nc -u -w1 127.0.0.1 "+port {
		t.Fatalf("%q", example)
	}
	conn, err := net.Dial("udp", g.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("no state")); err != nil {
		t.Fatal(err)
	}
	b.wait(`document.getElementById("empty").textContent.includes("are rejected")`)
	b.wait(`document.getElementById("rejected-reasons").textContent === "1 json"`)
	b.wait(`document.getElementById("card-rejected").dataset.loss === "now"`)
	if _, err := conn.Write([]byte(datagram)); err != nil {
		t.Fatal(err)
	}
	b.wait(ids + `.join() === "test"`)
	b.wait(`document.getElementById("empty").hidden`)
}

// In a Chinese browser the page is Chinese, and says so.
func TestChinese(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	(&fleet{to: g.udp, every: 100 * time.Millisecond, engines: steady(3)}).run(t)
	b := openTab(t, g, look{language: "zh-CN"})
	b.wait(ids + `.length === 3`)
	b.wait(`document.documentElement.lang === "zh-Hans" && document.getElementById("link").textContent === "实时"`)
	b.wait(`document.querySelector("thead .c-status").textContent === "状态"`)
	b.wait(`[...document.querySelectorAll("#rows .status")].every((e) => e.textContent === "正常")`)
	// No English is left, but for the name, units of time and bytes, data and addresses.
	left := eval[[]string](b, `[...document.querySelectorAll("h2, h3, label, thead th, button:not(.id), .lately, #shown, #about")]
		.map((e) => e.textContent).filter((text) => /[A-Za-z]{3,}/.test(text.replace(/devel|token/g, "")))`)
	if len(left) > 0 {
		t.Errorf("%q", left)
	}
}
