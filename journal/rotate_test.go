package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// expand returns the content of a rotated file.
func expand(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		r, err = gzip.NewReader(f)
	case ".zst":
		r, err = zstd.NewReader(f)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return content
}

// names returns what is in a directory, sorted.
func names(t *testing.T, dir string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

// TestOwnLimits rotates under load, without and with compression: each line is in one file, the files sort by age, none
// is larger than the limit but by one piece, and nothing half-written is left.
func TestOwnLimits(t *testing.T) {
	for compression, extension := range map[Compression]string{NoCompression: "", Gzip: ".gz", Zstd: ".zst"} {
		synctest.Test(t, func(t *testing.T) {
			const limit = 100 << 10
			dir := t.TempDir()
			h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), Appenders: 1, MaxSize: limit, Compress: compression, Mode: 0o640})
			stop := h.start()
			total := 0
			for range 50 {
				h.put(0, arrival.Add(time.Duration(total)), total, total+100)
				total += 100
				later(flushInterval)
			}
			later(time.Second) // for the keeper
			if err := stop(); err != nil {
				t.Error(err)
			}
			var text []byte
			paths := names(t, dir)
			for _, path := range paths {
				content := expand(t, path)
				if len(content) > limit || len(content) == 0 {
					t.Errorf("%s has %d bytes", path, len(content))
				}
				if rotated := path != h.path; rotated && !strings.HasSuffix(path, ".jsonl"+extension) {
					t.Errorf("%s has no %s", path, extension)
				}
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("%s: %v %v", path, info.Mode(), err)
				}
				text = append(text, content...)
			}
			if n := len(h.numbers(h.split(text))[0]); n != total {
				t.Errorf("%d lines of %d", n, total)
			}
			if c := h.Counters(); c.Reopens != uint64(len(paths)-1) || len(paths) < 10 || c.Written != uint64(total) || c.Errors != [Ops]uint64{} {
				t.Errorf("%d files, %+v", len(paths), c)
			}
			h.said("level=", 0)
		})
	}
}

// TestKeep: the oldest go, those of an earlier run and compressed otherwise too, and nothing else in the directory.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"states-19990101T000000.000Z.jsonl.zst", "states-19990102T000000.000Z.jsonl",
			"states-1999.jsonl", "states-19990101T000000.000Z.jsonl.bak", "states.jsonl.1", "states-19990101T000000.000Z.txt", "other"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), Appenders: 1, MaxSize: 4 << 10, Keep: 3, Compress: Gzip})
		stop := h.start()
		total := 0
		h.run(&total, 200)
		later(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		var rotated, others []string
		for _, path := range names(t, dir) {
			if name := filepath.Base(path); strings.HasPrefix(name, "states-2000") {
				rotated = append(rotated, name)
			} else {
				others = append(others, name)
			}
		}
		if len(rotated) != 3 || !slices.Equal(others, []string{"other", "states-1999.jsonl", "states-19990101T000000.000Z.jsonl.bak",
			"states-19990101T000000.000Z.txt", "states.jsonl", "states.jsonl.1"}) {
			t.Errorf("rotated %v, others %v", rotated, others)
		}
		text := h.content()
		for _, name := range slices.Backward(rotated) {
			text = string(expand(t, filepath.Join(dir, name))) + text
		}
		if numbers := h.numbers(h.split([]byte(text)))[0]; numbers[len(numbers)-1] != total-1 || numbers[0] != total-len(numbers) {
			t.Errorf("lines %d … %d of %d", numbers[0], numbers[len(numbers)-1], total)
		}
	})
}

// TestClockSetBack: what is rotated after it still counts as newer than what was rotated before.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		future := filepath.Join(dir, "states-20990101T000000.000Z.jsonl")
		if err := os.WriteFile(future, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), Appenders: 1, MaxSize: 4 << 10, Keep: 2})
		stop := h.start()
		total := 0
		h.run(&total, 100)
		later(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		paths := names(t, dir) // sorted by name, so by age, but for the log itself
		if len(paths) != 3 || slices.Contains(paths, future) {
			t.Fatalf("%v", paths)
		}
		var text []byte
		for _, path := range paths {
			text = append(text, expand(t, path)...)
		}
		h.numbers(h.split(text))
	})
}

// TestInterruptedCompression: what a kill left is removed or finished at the next start, whichever compression is set
// then, so that no line is in two files.
func TestInterruptedCompression(t *testing.T) {
	dir := t.TempDir()
	const a, b, c = "states-20260101T000000.000Z.jsonl", "states-20260102T000000.000Z.jsonl", "states-20260103T000000.000Z.jsonl"
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := compress(t.Context(), write(a, "first\n"), Gzip); err != nil {
		t.Fatal(err)
	}
	write(a, "first\n") // compressed, but not yet removed
	write(b, "second\n")
	write(b+".gz.part", "half")
	write(c+".zst.part", "half")
	write(c, "third\n")
	h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), MaxSize: 4 << 10, Compress: Zstd})
	if err := h.file.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, path := range names(t, dir) {
		got = append(got, filepath.Base(path)+"="+string(expand(t, path)))
	}
	if want := []string{a + ".gz=first\n", b + ".zst=second\n", c + ".zst=third\n", "states.jsonl="}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	// A stop in the middle leaves the original and nothing else.
	path := write(c, strings.Repeat("third\n", 1000))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := compress(ctx, path, Gzip); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil || len(names(t, dir)) != 5 {
		t.Errorf("%v; %v", err, names(t, dir))
	}
}

// TestRotationThatFailsHalfway: the file has its new name, but the next one cannot be created. Lines go on into the old
// one, which is not compressed before it has a successor.
func TestRotationThatFailsHalfway(t *testing.T) {
	dir := t.TempDir()
	h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), Appenders: 1, MaxSize: 1 << 10, Compress: Gzip})
	h.put(0, arrival, 0, 10)
	h.drain()
	now := time.Now()
	if err := h.file.rename(now); err != nil {
		t.Fatal(err)
	}
	rotated := h.path[:len(h.path)-len(".jsonl")] + now.UTC().Format("-"+rotatedLayout) + ".jsonl"
	if err := os.WriteFile(h.path, []byte("somebody else's text"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.put(0, arrival, 10, 20)
	h.drain()
	if err := h.file.tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(h.all(rotated)); n != 20 {
		t.Errorf("%d lines", n)
	}
	if err := os.Remove(h.path); err != nil {
		t.Fatal(err)
	}
	h.file.tend(now.Add(3 * checkInterval))
	h.file.tend(now.Add(5 * checkInterval))
	h.put(0, arrival, 20, 23) // less than a file
	h.drain()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := h.file.tidy(t.Context()); err != nil {
		t.Error(err)
	}
	text := append(expand(t, rotated+".gz"), h.content()...)
	if n := len(h.numbers(h.split(text))[0]); n != 23 {
		t.Errorf("%d lines", n)
	}
}

// TestRotationThroughALink: the rotated files are beside the file, and the link stays a link.
func TestRotationThroughALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		link := filepath.Join(dir, "states.jsonl")
		if err := os.Symlink(filepath.Join(elsewhere, "real.jsonl"), link); err != nil {
			t.Fatal(err)
		}
		h := newHarnessOf(t, Config{Path: link, Appenders: 1, MaxSize: 4 << 10, Compress: Zstd, Keep: 1000})
		stop := h.start()
		total := 0
		h.run(&total, 200)
		later(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := names(t, dir); len(got) != 1 {
			t.Errorf("beside the link: %v", got)
		}
		var text []byte
		for _, path := range names(t, elsewhere) {
			text = append(text, expand(t, path)...)
		}
		if n := len(h.numbers(h.split(text))[0]); n != total {
			t.Errorf("%d lines of %d", n, total)
		}
	})
}

// TestKeeperAndLogrotate: own limits and a logrotate at once are nobody's intention, and lose nothing all the same.
func TestKeeperAndLogrotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), Appenders: 1, MaxSize: 8 << 10, Compress: Gzip})
		stop := h.start()
		total := 0
		for i := range 40 {
			h.run(&total, 30)
			if i%4 == 0 {
				os.Rename(h.path, fmt.Sprintf("%s.%d", h.path, i))
			}
		}
		later(5 * time.Second)
		h.run(&total, 10)
		later(5 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		seen := map[string]bool{}
		for _, path := range names(t, dir) {
			for _, line := range h.split(expand(t, path)) {
				if seen[line] {
					t.Fatalf("twice: %s", line)
				}
				seen[line] = true
			}
		}
		if len(seen) != total {
			t.Errorf("%d lines of %d", len(seen), total)
		}
	})
}
