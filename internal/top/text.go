package top

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/text/unicode/bidi"
)

// plain returns text as it may stand in a line of a terminal: as it is where that is harmless, and escaped as in a Go
// string where it is not, a backslash too. Escaped are control characters, invalid bytes, what writes from right to left
// or changes the direction, combining marks, and what else does not simply stand behind the rune before it: of the rest
// every terminal, however it counts, makes the same number of cells.
func plain(text string) string {
	if harmless(text) {
		return text
	}
	var b strings.Builder
	before := rune(' ') // as the terminal has it
	for i, size := 0, 0; i < len(text); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
			before = ' '
		case r != '\\' && strconv.IsPrint(r) && !unicode.IsMark(r) && leftToRight(r) && stands(before, r):
			b.WriteRune(r)
			before = r
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			before = ' '
		}
	}
	return b.String()
}

// harmless reports whether text is printable ASCII without a backslash, as nearly all is.
func harmless(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

func leftToRight(r rune) bool {
	p, _ := bidi.LookupRune(r)
	switch p.Class() {
	case bidi.R, bidi.AL, bidi.AN:
		return false
	}
	return true // controls of direction are not printable
}

// stands reports whether r makes a text longer by its own width, whether the terminal counts runes or graphemes.
func stands(before, r rune) bool {
	alone, pair := string(r), string([]rune{before, r})
	width := ansi.StringWidth(alone)
	return width > 0 && width == ansi.StringWidthWc(alone) &&
		ansi.StringWidth(pair) == ansi.StringWidth(string(before))+width &&
		ansi.StringWidthWc(pair) == ansi.StringWidthWc(string(before))+width
}

// cut returns plain text in at most width cells, with an ellipsis if it is longer.
func cut(text string, width int) string {
	if len(text) <= width { // no rune is wider than its bytes are many
		return text
	}
	return ansi.Truncate(text, max(width, 0), "…")
}

// fit returns plain text in exactly width cells.
func fit(text string, width int, right bool) string {
	text = cut(text, width)
	space := strings.Repeat(" ", max(width-ansi.StringWidth(text), 0))
	if right {
		return space + text
	}
	return text + space
}
