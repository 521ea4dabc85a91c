package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTornLine, row 14: what a kill or a power failure leaves of a line is cut off; anything else that is no whole line
// means that the file is somebody else's, and it is left alone.
func TestTornLine(t *testing.T) {
	_, text := numbered(0, 1)
	line := `{"timestamp": 1755532567.502843, "state": ` + string(text) + "}\n"
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	for _, test := range []struct {
		content string
		cut     int // bytes at the end; -1: refused
	}{
		{"", 0},
		{line, 0},
		{line + line, 0},
		{line + line[:1], 1},
		{line + line[:9], 9},
		{line + line[:60], 60},
		{line + line[:len(line)-1], len(line) - 1},
		{line[:60], 60},
		{line + lineStart + strings.Repeat("1", maxTorn-len(lineStart)-1), maxTorn - 1},
		{line + lineStart + strings.Repeat("1", maxTorn-len(lineStart)), -1},
		{lineStart + strings.Repeat("1", maxTorn), -1},
		{line + line[:60] + zeros(4000), 4060},
		{line + zeros(4096), 4096},
		{line + zeros(2*maxTorn), -1},
		{zeros(100), -1},
		{"\n" + zeros(100), -1},
		{"some text\n" + zeros(100), -1},
		{"text without an end", -1},
		{line + "text without an end", -1},
		{line + `{"timestamp":1`, -1}, // not as this gateway writes
		{line + "{\"timestamp\"\x00: 1", -1},
	} {
		path := filepath.Join(t.TempDir(), "states.jsonl")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		name := test.content[max(0, len(test.content)-40):]
		if test.cut < 0 {
			_, err := New(Config{Path: path})
			if foreign, ok := errors.AsType[*ForeignError](err); !ok || foreign.Path != path {
				t.Errorf("…%q: error %v", name, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != test.content {
				t.Errorf("…%q was changed", name)
			}
			continue
		}
		h := newHarnessAt(t, 1, path)
		if got, want := h.content(), test.content[:len(test.content)-test.cut]; got != want {
			t.Errorf("…%q: %d bytes left, want %d", name, len(got), len(want))
		}
		torn := 0
		if test.cut > 0 {
			torn = 1
		}
		if c := h.Counters(); c.Torn != uint64(torn) {
			t.Errorf("…%q: %+v", name, c)
		}
		h.said("torn last line", torn)
		h.put(0, arrival, 0, 10)
		h.drain()
		for _, line := range h.lines() {
			if _, _, ok := parse(line); !ok {
				t.Errorf("…%q: line %q", name, line)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTwoOfOneFile, row 27: the second is told who has it, and leaves even a torn line alone, which the first may be
// about to finish. Under another name it is the same file.
func TestTwoOfOneFile(t *testing.T) {
	h := newHarness(t, 1)
	h.put(0, arrival, 0, 10)
	h.drain()
	if _, err := h.file.open.Write([]byte(lineStart)); err != nil {
		t.Fatal(err)
	}
	link, hard := h.path+".link", h.path+".hard"
	if err := errors.Join(os.Symlink(h.path, link), os.Link(h.path, hard)); err != nil {
		t.Fatal(err)
	}
	before := h.content()
	for _, path := range []string{h.path, link, hard} {
		_, err := New(Config{Path: path})
		held, ok := errors.AsType[*HeldError](err)
		if !ok || held.PID != os.Getpid() || held.Path != path {
			t.Errorf("error %v", err)
		}
	}
	if h.content() != before {
		t.Error("the file was changed")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	second := newHarnessAt(t, 1, h.path)
	if n := len(second.lines()); n != 10 {
		t.Errorf("%d lines", n)
	}
}

// TestMode: a file that is created has the permissions asked for, whatever the umask; one that is there keeps its own.
func TestMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "states.jsonl")
	for _, test := range []struct{ mode, want os.FileMode }{{0, 0o644}, {0o640, 0o644}} {
		h := newHarnessOf(t, Config{Path: path, Mode: test.mode})
		h.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != test.want {
			t.Errorf("%v, %v; want %v", info.Mode(), err, test.want)
		}
	}
	link := path + ".link"
	if err := os.Symlink("there", link); err != nil {
		t.Fatal(err)
	}
	newHarnessOf(t, Config{Path: link, Mode: 0o664}).Close()
	if info, err := os.Stat(filepath.Join(filepath.Dir(path), "there")); err != nil || info.Mode().Perm() != 0o664 {
		t.Errorf("through a link: %v, %v", info, err)
	}
}
