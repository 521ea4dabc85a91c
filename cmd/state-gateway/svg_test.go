package main

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// svg draws a screen of tmux, with its colours, for people to look at. It knows what the view uses: bold, reverse, and the
// first eight colours.
func svg(screen string, width, height int) string {
	const cell, line, margin = 8.4, 18, 12 // pixels; the font's size is 14
	palette := []string{"#45475a", "#f38ba8", "#a6e3a1", "#f9e2af", "#89b4fa", "#f5c2e7", "#94e2d5", "#bac2de"}
	const ink, paper = "#cdd6f4", "#1e1e2e"
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">`+"\n",
		float64(width)*cell+2*margin, height*line+2*margin)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="6" fill="%s"/>`+"\n", paper)
	pieces := regexp.MustCompile(`\x1b\[([0-9;]*)m|[^\x1b]+|\x1b`)
	bold, reverse, colour := false, false, -1
	for row, text := range strings.Split(screen, "\n") {
		column := 0
		for _, piece := range pieces.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(piece[0], "\x1b") {
				for _, code := range strings.Split(piece[1], ";") {
					switch n, _ := strconv.Atoi(code); {
					case n == 0:
						bold, reverse, colour = false, false, -1
					case n == 1:
						bold = true
					case n == 7:
						reverse = true
					case n == 39:
						colour = -1
					case n >= 30 && n < 38:
						colour = n - 30
					}
				}
				continue
			}
			n := len([]rune(piece[0]))
			x, y, fill, weight := margin+float64(column)*cell, margin+row*line, ink, "normal"
			column += n
			if colour >= 0 {
				fill = palette[colour]
			}
			if bold {
				weight = "bold"
			}
			if reverse {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, x, y, float64(n)*cell, line, fill)
				fill = paper
			}
			if strings.TrimSpace(piece[0]) != "" {
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="%s" font-weight="%s" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve">%s</text>`+"\n",
					x, y+14, fill, weight, float64(n)*cell, html.EscapeString(piece[0]))
			}
		}
	}
	return b.String() + "</svg>\n"
}

func TestSVG(t *testing.T) {
	got := svg("a\x1b[1m\x1b[31m<b>\x1b[0m c\n\x1b[7md", 4, 2)
	for _, want := range []string{`>a</text>`, `fill="#f38ba8" font-weight="bold" textLength="25.2" lengthAdjust="spacingAndGlyphs" xml:space="preserve">&lt;b&gt;</text>`,
		`<rect x="12.0" y="30" width="8.4" height="18" fill="#cdd6f4"/>`, `fill="#1e1e2e"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
