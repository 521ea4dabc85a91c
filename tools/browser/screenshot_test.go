package browser

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
)

var update = flag.Bool("update", false, "write the screenshots in docs/ anew")

// mostScreenshot is how large one may be: a README with two of them should not take long to load.
const mostScreenshot = 300 << 10

// TestScreenshots shows the page with eight engines as an operator may see them: light with one engine's detail, dark with
// the table alone. With -update the pictures are those of docs/.
func TestScreenshots(t *testing.T) {
	g := startGateway(t, "127.0.0.1:0", "127.0.0.1:0")
	(&fleet{to: g.udp, every: 200 * time.Millisecond, engines: lively()}).run(t)
	light, dark := openTab(t, g, look{height: 940, width: 1440}), openTab(t, g, look{dark: true, height: 620, width: 1440})
	for _, b := range []*tab{light, dark} {
		b.wait(`document.querySelectorAll("#rows tr").length === 8`)
		b.wait(`document.querySelector("#rows .status[data-status=stale]")`)
		b.wait(`document.querySelector("#rows .status[data-status=idle]")`)
	}
	if *update {
		time.Sleep(3 * time.Minute) // for a picture with full trends; no test waits for this
	}
	light.click(`#rows tr:nth-child(3) .id`)
	light.wait(`document.querySelector("#detail path.line")?.getAttribute("d").length > 20`)
	light.keep("page-light.png")
	dark.keep("page-dark.png")
}

// keep takes a picture, and with -update keeps it in docs/.
func (b *tab) keep(name string) {
	b.t.Helper()
	picture := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{}).Data
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		b.t.Fatal(err)
	}
	// A page that shows nothing has one colour.
	colors := map[string]bool{}
	size := decoded.Bounds()
	for x := 0; x < size.Dx(); x += 3 {
		for y := 0; y < size.Dy(); y += 3 {
			colors[fmt.Sprint(decoded.At(x, y))] = true
		}
	}
	if len(colors) < 50 {
		b.t.Errorf("%s: %d colours", name, len(colors))
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, decoded); err != nil {
		b.t.Fatal(err)
	}
	if small.Len() > mostScreenshot {
		b.t.Errorf("%s: %d bytes", name, small.Len())
	}
	if *update {
		if err := os.WriteFile(filepath.Join("..", "..", "docs", name), small.Bytes(), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

// lively returns eight engines of which each has something to show.
func lively() []engine {
	wave := func(mean, swing, period, phase float64) func(time.Duration) float64 {
		return func(at time.Duration) float64 {
			s := at.Seconds()
			return mean + swing*math.Sin(2*math.Pi*s/period+phase) + 0.2*swing*math.Sin(17*s+phase)
		}
	}
	tokens := func(f func(time.Duration) float64) func(time.Duration) int {
		return func(at time.Duration) int { return int(max(f(at), 0)) }
	}
	modes := []string{"latency_optimized", "throughput_optimized", "balanced"}
	var engines []engine
	for i := range 8 {
		f := float64(i)
		engines = append(engines, engine{
			id: fmt.Sprintf("http://172.17.0.%d:8000", i+3), mode: modes[i%3], used: 0.15 + 0.11*f,
			latency: wave(18+3*f, 3+f, 20+3*f, f), queue: tokens(wave(1500+400*f, 1200, 35-2*f, f)),
		})
	}
	engines[2].ahead = -12 * time.Second
	engines[1].idle = func(at time.Duration) bool { return at > 500*time.Millisecond && math.Mod(at.Seconds(), 61) < 9 }
	engines[3].idle = func(at time.Duration) bool { return at > time.Second }
	engines[4].idle = always
	engines[5].silent = func(at time.Duration) bool { return at > time.Second }
	engines[6].twice = true
	return engines
}
