package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWhoseFile, rows 14 and 44: what a kill or a power failure leaves of a line is cut off; anything else that does not
// begin and end as a state log does means that the file is somebody else's, and it is left alone.
func TestWhoseFile(t *testing.T) {
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
		{line + lineStart + strings.Repeat("1", maxLook-len(lineStart)-1), maxLook - 1},
		{line + lineStart + strings.Repeat("1", maxLook-len(lineStart)), -1},
		{lineStart + strings.Repeat("1", maxLook), -1},
		{line + line[:60] + zeros(4000), 4060},
		{line + zeros(4096), 4096},
		{line + zeros(2*maxLook), -1},
		{zeros(100), -1},
		{"\n" + zeros(100), -1},
		{"some text\n" + zeros(100), -1},
		{line[:1], 1},
		{line[:len(lineStart)+12], len(lineStart) + 12},
		{line[:len(line)-1], len(line) - 1},
		{line + zeros(maxLook-1), maxLook - 1},
		{strings.Repeat(line, 200) + line[:60], 60},
		{`{"timestamp":1,"state":{"engine_id":"a"}}` + "\n", 0}, // by another program, with its own spacing
		{`{ "state" : { "x": 1, "engine_id": "a" }, "timestamp": 1e9 }` + "\r\n" + line, 0},
		{"the first line\n", -1},
		{"the first line\n" + line, -1},
		{"\n" + line, -1},
		{"null\n", -1},
		{`{"timestamp": 1, "state": null}` + "\n", -1},
		{`{"timestamp": 1, "state": {}}` + "\n", -1},
		{`{"timestamp": 1, "state": {"engine_id": "a"}, "more": 1}` + "\n", -1},
		{`{"timestamp": "1", "state": {"engine_id": "a"}}` + "\n", -1},
		{`{"time": 1, "state": {"engine_id": "a"}}` + "\n", -1},
		{line[:60] + "\n" + line, -1},
		{strings.Repeat(" ", maxLook) + line, -1},
		{`{"timestamp": 1755532567.5, "level": "info"}`, -1},
		{line + `{"timestamp": 1755532567.5, "level": "info"}`, -1},
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
		check := CheckFile(path)
		if _, foreign := errors.AsType[*ForeignError](check); foreign != (test.cut < 0) {
			t.Errorf("…%q: CheckFile: %v", name, check)
		}
		if test.cut < 0 {
			long := time.Unix(1e9, 0)
			if err := os.Chtimes(path, long, long); err != nil {
				t.Fatal(err)
			}
			_, err := New(Config{Path: path})
			if foreign, ok := errors.AsType[*ForeignError](err); !ok || foreign.Path != path {
				t.Errorf("…%q: error %v", name, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != test.content {
				t.Errorf("…%q was changed", name)
			}
			if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(long) {
				t.Errorf("…%q was touched: %v", name, info.ModTime())
			}
			continue
		}
		h := newHarnessAt(t, 1, path)
		kept := test.content[:len(test.content)-test.cut]
		if got := h.content(); got != kept {
			t.Errorf("…%q: %d bytes left, want %d", name, len(got), len(kept))
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
		added := h.lines()[strings.Count(kept, "\n"):]
		if len(added) != 10 {
			t.Errorf("…%q: %d lines added", name, len(added))
		}
		for _, line := range added {
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
