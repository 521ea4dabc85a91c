package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// node is what an assistive program gets to know of one element.
type node struct {
	role, name string
	properties map[string]string
}

// tree returns the browser's accessibility tree, in the order of the document.
func (b *tab) tree() []node {
	b.t.Helper()
	text := func(v *accessibility.Value) string {
		if v == nil || len(v.Value) == 0 {
			return ""
		}
		var s string
		if json.Unmarshal(v.Value, &s) != nil {
			return string(v.Value)
		}
		return s
	}
	call(b, accessibility.Enable, cdp.Empty{})
	var nodes []node
	for _, n := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if n.Ignored {
			continue
		}
		properties := map[string]string{}
		for _, p := range n.Properties {
			properties[string(p.Name)] = text(p.Value)
		}
		nodes = append(nodes, node{text(n.Role), text(n.Name), properties})
	}
	return nodes
}

// Who cannot see the page finds the same in it: landmarks, headings, a table with its places, and a name for everything
// that can be used and for every drawing.
func TestAccessibilityTree(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	(&fleet{to: g.udp, every: 200 * time.Millisecond, engines: lively()}).run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length === 8`)
	b.click("#rows tr:nth-child(1) .id")
	b.wait(`document.querySelector("#detail svg")?.getAttribute("aria-label")`)
	b.wait(`document.querySelector("#received-trend").hasAttribute("aria-label")`)
	nodes := b.tree()

	count := map[string]int{}
	names := map[string][]string{}
	for _, n := range nodes {
		count[n.role]++
		names[n.role] = append(names[n.role], n.name)
		switch n.role {
		case "button", "link", "searchbox", "meter", "image", "img", "columnheader", "rowheader", "region", "complementary",
			"navigation", "heading", "DisclosureTriangle", "group", "table", "Canvas", "figure", "Figure":
			if strings.TrimSpace(n.name) == "" && n.role != "group" && n.role != "table" && !strings.EqualFold(n.role, "figure") {
				t.Errorf("a %s without a name: %v", n.role, n.properties)
			}
		}
		if n.properties["focusable"] == "true" && strings.TrimSpace(n.name) == "" && n.role != "RootWebArea" {
			t.Errorf("a focusable %s without a name", n.role)
		}
	}
	t.Log(count)
	for role, want := range map[string]int{"banner": 1, "main": 1, "contentinfo": 1, "navigation": 1, "complementary": 1,
		"search": 1, "searchbox": 1, "table": 1, "row": 9, "rowheader": 8, "columnheader": 7, "meter": 7} {
		if count[role] != want {
			t.Errorf("%d × %s, want %d: %q", count[role], role, want, names[role])
		}
	}
	if images := count["image"] + count["img"] + count["Canvas"]; images != 1+2*8+3 {
		t.Errorf("%d drawings", images)
	}
	for _, want := range []string{"KV cache used", "fresh", "stale", "Close", "Latency ms", "http://172.17.0.3:8000",
		"Filter by id, mode or address", "Skip to the engines"} {
		if !slices.ContainsFunc(nodes, func(n node) bool { return strings.TrimSpace(n.name) == want }) {
			t.Errorf("nothing is called %q", want)
		}
	}
	if !slices.ContainsFunc(nodes, func(n node) bool { return n.properties["live"] == "polite" }) {
		t.Error("no live region")
	}
	for _, n := range nodes {
		if n.role == "button" && n.name == "http://172.17.0.3:8000" && n.properties["expanded"] != "true" {
			t.Errorf("the open engine's button: %v", n.properties)
		}
	}
	if levels := eval[string](b, `[...document.querySelectorAll("h1, h2, h3")].filter((h) => h.checkVisibility()).map((h) => h.tagName).join()`); levels != "H1,H2,H3,H3,H3,H3,H3,H2,H2" {
		t.Errorf("headings %s", levels)
	}
	if got := eval[string](b, `[...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i).join()`); got != "" {
		t.Errorf("ids that are there twice: %s", got)
	}
}

// contrast finds texts whose contrast to their ground is less than WCAG 2 asks for (level AA): 4.5, or 3 if they are large.
const contrast = `(() => {
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 1;
	const context = canvas.getContext("2d", { willReadFrequently: true });
	const rgba = (color) => {
		context.clearRect(0, 0, 1, 1);
		context.fillStyle = color;
		context.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3])).concat(1);
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
	};
	const luminance = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const found = [];
	let texts = 0;
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || e.matches(".unseen")) continue;
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("") || (e.placeholder ?? "");
		if (!text) continue;
		texts++;
		const style = e.placeholder && !e.value ? getComputedStyle(e, "::placeholder") : getComputedStyle(e);
		const under = ground(e.closest("svg") ?? e);
		const color = over(rgba(e instanceof SVGElement ? style.fill : style.color), under);
		const [a, b] = [luminance(color), luminance(under)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		const size = parseFloat(style.fontSize);
		const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
		if (ratio < (large ? 3 : 4.5)) found.push(ratio.toFixed(2) + " " + e.tagName + "." + (e.getAttribute("class") ?? "") + " " + text.slice(0, 40));
	}
	return texts > 60 ? found : ["only " + texts + " texts"];
})()`

// Every text can be read, light and dark, of an engine that is stale and of one that is not, and when the gateway is lost.
func TestContrast(t *testing.T) {
	for _, scheme := range []string{"light", "dark"} {
		g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
		(&fleet{to: g.udp, every: 200 * time.Millisecond, engines: lively(), garbage: true}).run(t)
		b := openTab(t, g, look{dark: scheme == "dark"})
		b.wait(`document.querySelector("#rows .status[data-status=stale]")`)
		b.wait(`document.getElementById("card-rejected").dataset.loss === "now"`)
		b.wait(`document.querySelector("#rows .flag:not([hidden])")`)
		if dark := eval[bool](b, `matchMedia("(prefers-color-scheme: dark)").matches`); dark != (scheme == "dark") {
			t.Fatalf("%s: dark is %v", scheme, dark)
		}
		check := func(what string) {
			t.Helper()
			for _, problem := range eval[[]string](b, contrast) {
				t.Errorf("%s, %s: %s", scheme, what, problem)
			}
		}
		check("the table")
		b.click(".choice[data-status=stale]")
		b.click(".choice[data-status=fresh]")
		b.click("#rows tr:nth-child(3) .id")
		b.wait(`document.querySelector("#detail path.line")?.getAttribute("d").length > 10`)
		b.click("#detail summary")
		check("one engine")
		b.away(true)
		g.kill()
		b.wait(`document.body.classList.contains("lost")`)
		check("lost")
	}
}

// Everything can be reached and used with the keyboard alone, and it shows where one is.
func TestKeyboard(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	engines := steady(40)
	(&fleet{to: g.udp, every: 200 * time.Millisecond, engines: engines}).run(t)
	b := openTab(t, g, look{})
	b.wait(ids + `.length > 10`)
	b.wait(`document.getElementById("shown").textContent === "40 shown"`)
	at := func(what string) {
		t.Helper()
		b.wait(`document.activeElement.matches(` + fmt.Sprintf("%q", what) + `)`)
		if got := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); got == "none" {
			t.Errorf("the focus at %s cannot be seen", what)
		}
	}
	b.keys(kb.Tab)
	at(".skip")
	if top := eval[float64](b, `document.activeElement.getBoundingClientRect().top`); top < 0 {
		t.Errorf("the skip link is at %v", top)
	}
	b.keys(kb.Enter, kb.Tab)
	at("#filter")
	b.keys("8000")
	for _, status := range []string{"fresh", "idle", "initializing", "stale", "flagged"} {
		b.keys(kb.Tab)
		at(".choice[data-status=" + status + "]")
	}
	b.keys(kb.Enter)
	b.wait(`!document.getElementById("empty").hidden`) // nothing is flagged
	b.keys(" ")
	b.wait(`document.getElementById("empty").hidden`)
	columns := eval[int](b, `document.querySelectorAll("thead th").length`)
	for i := range columns {
		b.keys(kb.Tab)
		at(fmt.Sprintf("thead th:nth-child(%d) .sort", i+1))
	}
	b.keys(kb.Tab)
	at("#rows .id")
	b.wait(`document.activeElement.textContent === "` + engines[0].id + `"`)
	b.keys(kb.ArrowDown, kb.ArrowDown, kb.ArrowUp)
	b.wait(`document.activeElement.textContent === "` + engines[1].id + `"`)
	b.keys(kb.End)
	b.wait(`document.activeElement.textContent === "` + engines[39].id + `"`)
	b.wait(`(() => {
		const row = document.activeElement.getBoundingClientRect(), view = document.getElementById("viewport").getBoundingClientRect();
		return row.top >= view.top && row.bottom <= view.bottom;
	})()`)
	b.keys(kb.Enter)
	b.wait(`!document.getElementById("detail").hidden && document.activeElement.id === "detail-heading"`)
	b.keys(kb.Tab)
	at("#detail .close")
	b.keys(kb.Tab)
	at("#detail summary")
	b.keys(kb.Escape)
	b.wait(`document.getElementById("detail").hidden && document.activeElement.textContent === "` + engines[39].id + `"`)
	// There is one way in and one way out of the table.
	b.keys(kb.Tab)
	at("footer a")
	b.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
	b.wait(`document.activeElement.textContent === "` + engines[39].id + `"`)
	// Where one is stays when the order changes around it.
	b.keys(kb.Home, kb.ArrowDown, kb.ArrowDown, kb.ArrowDown, kb.ArrowDown, kb.ArrowDown)
	b.wait(`document.activeElement.textContent === "` + engines[5].id + `"`)
	b.eval(`document.querySelector("thead .c-latency .sort").click()`)
	b.wait(ids + `[0] === "` + engines[17].id + `"`) // the slowest
	if got := eval[string](b, `document.activeElement.textContent`); got != engines[5].id {
		t.Errorf("the focus is at %q", got)
	}
	// If it goes out of view, the next key goes on from there.
	b.keys(kb.End)
	b.wait(`document.activeElement.textContent === "` + engines[0].id + `"`) // the fastest
	b.eval(`document.querySelector("thead .c-latency .sort").click()`)
	b.wait(`document.activeElement.id === "viewport"`)
	b.keys(kb.ArrowDown)
	b.wait(`document.activeElement.textContent === "` + engines[23].id + `" && document.activeElement.closest("tr").ariaRowIndex === "3"`)
}
