package top

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

func TestPlain(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"http://172.17.0.3:8000", "http://172.17.0.3:8000"},
		{"\x1b]0;title\x07\x1b[31mred", `\x1b]0;title\a\x1b[31mred`},
		{"a\r\nb\tc\x00d\x7f", `a\r\nb\tc\x00d\x7f`},
		{"\u009b31m\u0085", `\u009b31m\u0085`},
		{"\xff\xc3(\x9b", `\xff\xc3(\x9b`},
		{`\x1b`, `\\x1b`}, // not the same as an escape
		{"right\u202eleft\u2066\u200f\u061c", `right\u202eleft\u2066\u200f\u061c`},
		{"\u05d0\u0627\u0661", `\u05d0\u0627\u0661`}, // letters and digits that turn a line round
		{"e\u0301", `e\u0301`},
		{"\u00e9", "\u00e9"},
		{"\u5f15\u64ce", "\u5f15\u64ce"},
		{"a\u200bb\ufeff\u00ad\u00a0", `a\u200bb\ufeff\u00ad\u00a0`},
		{"\U0001f469\u200d\U0001f680", "\U0001f469" + `\u200d` + "\U0001f680"},
		{"\U0001f44d\U0001f3fd", "\U0001f44d" + `\U0001f3fd`},                   // a skin tone
		{"\U000e0041\u2028\ue000", `\U000e0041\u2028\ue000`},                    // a tag, a line separator, private use
		{"\u1100\u1161", "\u1100" + `\u1161`},                                   // conjoining jamo
		{strings.Repeat("\u0300", 3), strings.Repeat(`\u0300`, 3)},              //
		{"\u2764\ufe0f", "\u2764" + `\ufe0f`},                                   // the heart made an emoji, and wider
		{"\u0e01\u0e33", "\u0e01" + `\u0e33`},                                   // of no width of its own in some terminals
		{"\U0001f1e9\U0001f1ea", `\U0001f1e9\U0001f1ea`},                        // a flag
		{"\u0915\u094d\u0937\u093f", "\u0915" + `\u094d` + "\u0937" + `\u093f`}, // a conjunct
		{"\u1063", `\u1063`},
	} {
		if got := plain(test.text); got != test.want {
			t.Errorf("%+q: %s, want %s", test.text, got, test.want)
		}
	}
}

func TestFit(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		right bool
		want  string
	}{
		{"abc", 5, false, "abc  "},
		{"abc", 5, true, "  abc"},
		{"abc", 3, false, "abc"},
		{"abcd", 3, false, "ab…"},
		{"\u5f15\u64ce", 4, false, "\u5f15\u64ce"},
		{"\u5f15\u64ce", 3, false, "\u5f15…"},
		{"\u5f15\u64ce", 2, true, " …"},
		{"abc", 1, false, "…"},
		{"abc", 0, false, ""},
		{"", 2, true, "  "},
	} {
		if got := fit(test.text, test.width, test.right); got != test.want {
			t.Errorf("%q in %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

// FuzzText: whatever an engine sends, what reaches the terminal has as many cells as it should, however a terminal counts
// them, and nothing that it would act upon.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"http://172.17.0.3:8000", "\x1b]0;t\x07", "\u202e\u05d0e\u0301", "\U0001f469\u200d\U0001f680", "\xff\u009b", "\U0001f1e9\U0001f1ea", "\u1100\u1161\u11a8", "\u1063"} {
		f.Add(seed, 12)
	}
	f.Fuzz(func(t *testing.T, text string, width int) {
		width = max(0, min(width, 300))
		shown := fit(plain(text), width, len(text)%2 == 0)
		if !utf8.ValidString(shown) {
			t.Errorf("%+q is not UTF-8", shown)
		}
		for _, r := range shown {
			if r < 0x20 || r >= 0x7f && r <= 0x9f || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.M, r) || unicode.Is(unicode.C, r) {
				t.Errorf("%+q has %U", shown, r)
			}
		}
		if a, b := ansi.StringWidth(shown), ansi.StringWidthWc(shown); a != width || b != width {
			t.Errorf("%+q has %d cells by graphemes and %d by runes, not %d", shown, a, b, width)
		}
	})
}
