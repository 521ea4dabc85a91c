package acceptance

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is a code block of the guide.
type block struct {
	name, text string
}

// document is what the test knows of a version of the guide.
type document struct {
	blocks   []block
	headings []int    // their levels, in order
	links    []string // their targets, in order; of the part of a page only "#", since headings are translated
	rows     int      // of tables
}

var (
	fence   = regexp.MustCompile("^```(sh|conf) name=([a-z0-9-]+)$")
	heading = regexp.MustCompile(`^(#+) `)
	link    = regexp.MustCompile(`\]\(([^)#]*)(#?)[^)]*\)`)
)

// readDocument reads a version of the guide. Every code block must have a name of its own.
func readDocument(t *testing.T, path string) document {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	var open *block
	for number, line := range strings.Split(string(text), "\n") {
		switch {
		case open != nil && line == "```":
			if slices.ContainsFunc(d.blocks, func(b block) bool { return b.name == open.name }) {
				t.Errorf("%s: two blocks are called %s", path, open.name)
			}
			d.blocks, open = append(d.blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "```"):
			match := fence.FindStringSubmatch(line)
			if match == nil {
				t.Fatalf("%s:%d: a code block without a name: %s", path, number+1, line)
			}
			open = &block{name: match[2]}
		default:
			if match := heading.FindStringSubmatch(line); match != nil {
				d.headings = append(d.headings, len(match[1]))
			}
			if strings.HasPrefix(line, "|") {
				d.rows++
			}
			for _, match := range link.FindAllStringSubmatch(line, -1) {
				d.links = append(d.links, match[1]+match[2])
			}
		}
	}
	if open != nil {
		t.Fatalf("%s: the block %s does not end", path, open.name)
	}
	return d
}

const guideFile, chineseFile = "../../docs/deployment.md", "../../docs/deployment.zh.md"

// Both versions of the guide have the same commands, sections, tables and links.
func TestBothLanguages(t *testing.T) {
	english, chinese := readDocument(t, guideFile), readDocument(t, chineseFile)
	for i, b := range english.blocks {
		if i >= len(chinese.blocks) || chinese.blocks[i] != b {
			t.Fatalf("block %s is another one in Chinese", b.name)
		}
	}
	if len(chinese.blocks) != len(english.blocks) {
		t.Errorf("%d blocks in English, %d in Chinese", len(english.blocks), len(chinese.blocks))
	}
	if !slices.Equal(english.headings, chinese.headings) {
		t.Errorf("levels of the headings:\n%v in English\n%v in Chinese", english.headings, chinese.headings)
	}
	if english.rows != chinese.rows {
		t.Errorf("%d rows of tables in English, %d in Chinese", english.rows, chinese.rows)
	}
	for _, target := range slices.Concat(english.links, chinese.links) {
		if file, _, _ := strings.Cut(target, "#"); file != "" && !present("../../docs/"+file) {
			t.Errorf("a link to %s, which is not there", file)
		}
	}
	// Each page links the other one, and of other pages the version in its language.
	for i, target := range chinese.links {
		chinese.links[i] = strings.Replace(target, ".zh.md", ".md", 1)
	}
	for i, target := range english.links {
		english.links[i] = strings.Replace(target, ".zh.md", ".md", 1)
	}
	if !slices.Equal(english.links, chinese.links) {
		t.Errorf("links:\n%q in English\n%q in Chinese", english.links, chinese.links)
	}
}

// notRun are the blocks that the acceptance run leaves out, with the reason.
var notRun = map[string]string{
	"pull":       "the image is in no registry; the guide's other way, to build it, is run",
	"build-site": "its names stand for a site's own; the run builds with the same arguments and stand-ins",
}
