package journal

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// all returns the lines of several files, in the order given.
func (h *harness) all(paths ...string) []string {
	h.t.Helper()
	var lines []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			h.t.Fatal(err)
		}
		lines = append(lines, h.split(content)...)
	}
	return lines
}

// settled checks that each of so many lines is in one of the files, once, in order.
func (h *harness) settled(total int, paths ...string) {
	h.t.Helper()
	numbers := h.numbers(h.all(paths...))[0]
	if len(numbers) != total {
		h.t.Errorf("%d lines of %d", len(numbers), total)
	}
	if c := h.Counters(); c.Written != uint64(total) {
		h.t.Errorf("%d appended: %+v", total, c)
	}
}

// TestRenamedAndCreated, rows 17 and 18: logrotate's create. No line is lost, and none goes to the old file later than
// a second and a flush after the rename.
func TestRenamedAndCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		total := 0
		h.run(&total, 130)
		old := h.path + ".1"
		if err := os.Rename(h.path, old); err != nil {
			t.Fatal(err)
		}
		h.run(&total, 10) // no time for logrotate to be quick
		if err := os.WriteFile(h.path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); time.Since(begin) < checkInterval+flushInterval; {
			h.run(&total, 10)
		}
		before, _ := os.ReadFile(old)
		h.run(&total, 400)
		if after, _ := os.ReadFile(old); len(after) != len(before) {
			t.Errorf("%d bytes were written to the old file later", len(after)-len(before))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.settled(total, old, h.path)
		if c := h.Counters(); c.Reopens != 1 {
			t.Errorf("%+v", c)
		}
		h.said("level=", 1)
	})
}

// TestRenamedOnly, row 21: whoever renamed the file has a second to create the new one; then the journal does.
func TestRenamedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		total := 0
		h.run(&total, 130)
		old := h.path + ".1"
		if err := os.Rename(h.path, old); err != nil {
			t.Fatal(err)
		}
		renamed := time.Now()
		var appeared time.Duration
		for time.Since(renamed) < 2*checkInterval+renameGrace {
			h.run(&total, 10)
			if _, err := os.Stat(h.path); err == nil && appeared == 0 {
				appeared = time.Since(renamed)
				before, _ := os.ReadFile(old)
				h.run(&total, 100)
				if after, _ := os.ReadFile(old); len(after) != len(before) {
					t.Error("written to the old file when the new one was there")
				}
			}
		}
		if appeared < time.Second || appeared > 2*time.Second+flushInterval {
			t.Errorf("the new file appeared after %v", appeared)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.settled(total, old, h.path)
	})
}

// TestReopen: asked to, the journal goes on at once in what is at the path, or creates it. Asked again and again, it does
// nothing more.
func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		total := 0
		h.run(&total, 10)
		old := h.path + ".1"
		if err := os.Rename(h.path, old); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			h.Reopen()
		}
		synctest.Wait()
		if _, err := os.Stat(h.path); err != nil {
			t.Error(err)
		}
		for range 100 {
			h.Reopen()
			h.run(&total, 10)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.settled(total, old, h.path)
		if c := h.Counters(); c.Reopens != 1 || c.Errors != [Ops]uint64{} {
			t.Errorf("%+v", c)
		}
		h.said("level=", 1)
	})
}

// TestForeignReplacement, row 44: a file in the log's place that is somebody else's is left alone; the old one is kept, and
// it is said once, however often it is asked for.
func TestForeignReplacement(t *testing.T) {
	for _, foreign := range []string{"somebody else's text", "somebody else's\nlines\n"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, 1)
			stop := h.start()
			old := h.path + ".1"
			if err := os.Rename(h.path, old); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(h.path, []byte(foreign), 0o644); err != nil {
				t.Fatal(err)
			}
			total := 0
			for range 100 {
				h.Reopen()
				h.run(&total, 10)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			h.settled(total, old)
			if h.content() != foreign {
				t.Error("the foreign file was changed")
			}
			h.said("level=", 1)
		})
	}
}

// TestForeignFileAppears, row 44: where there is no old file to go on in, lines are dropped and counted rather than written
// to somebody else's.
func TestForeignFileAppears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		total := 0
		h.run(&total, 10)
		const foreign = "somebody else's\nlines\n"
		other := h.path + ".other"
		if err := os.WriteFile(other, []byte(foreign), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, h.path); err != nil {
			t.Fatal(err)
		}
		later(checkInterval)
		before := h.Counters()
		h.run(&total, 500)
		if c := h.Counters(); c.DroppedError != before.DroppedError+500 || !strings.Contains(h.Trouble(), "does not begin as a state log") {
			t.Errorf("%+v after %+v; trouble %q", c, before, h.Trouble())
		}
		if h.content() != foreign {
			t.Error("the foreign file was changed")
		}
		os.Remove(h.path)
		later(checkInterval)
		h.run(&total, 10)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := len(h.lines()); n != 10 || h.Trouble() != "" {
			t.Errorf("%d lines; trouble %q", n, h.Trouble())
		}
		h.said("ERROR", 1)
	})
}

// TestCopytruncate, row 19: when the file is truncated, what is written next is at its beginning. The appenders and the
// one who copies go on at the same time; no byte of the file is ever zero.
func TestCopytruncate(t *testing.T) {
	h := newHarness(t, 1)
	stop := h.start()
	var appending sync.WaitGroup
	done := make(chan struct{})
	appending.Go(func() {
		for n := 0; ; n += 10 {
			select {
			case <-done:
				return
			default:
				h.put(0, arrival.Add(time.Duration(n)), n, n+10)
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	var copies strings.Builder
	for range 20 {
		for begin := h.Counters().Written; h.Counters().Written < begin+100; {
			time.Sleep(time.Millisecond)
		}
		copied := h.content()
		copies.WriteString(copied[:strings.LastIndexByte(copied, '\n')+1]) // a write may have been under way
		if err := os.Truncate(h.path, 0); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	appending.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
	text := copies.String() + h.content()
	if strings.Contains(text, "\x00") {
		t.Error("a hole of zeros")
	}
	// Between the copy and the truncation lines are lost, which is copytruncate's own window; those that are left are
	// whole and in order.
	if n := len(h.numbers(h.split([]byte(text)))[0]); n < 100 {
		t.Errorf("%d lines left", n)
	}
	if c := h.Counters(); c.Reopens != 0 || c.DroppedError != 0 {
		t.Errorf("%+v", c)
	}
	h.said("level=", 0)
}

// TestDirectoryRemoved, row 22: it is counted and said once, and goes on a second after the directory is back.
func TestDirectoryRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		h := newHarnessAt(t, 1, filepath.Join(dir, "states.jsonl"))
		stop := h.start()
		total := 0
		h.run(&total, 100)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		later(checkInterval + flushInterval)
		before := h.Counters()
		h.run(&total, 500)
		if c := h.Counters(); c.DroppedError != before.DroppedError+500 || h.Trouble() == "" {
			t.Errorf("%+v after %+v", c, before)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		later(checkInterval + flushInterval)
		h.run(&total, 100)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := len(h.lines()); n != 100 || h.Trouble() != "" {
			t.Errorf("%d lines; trouble %q", n, h.Trouble())
		}
		if c := h.Counters(); c.Written+c.DroppedError != uint64(total) {
			t.Errorf("%+v", c)
		}
		h.said("ERROR", 1)
		h.said("writing again", 1)
	})
}

// TestDeleted: a file that was deleted is noticed within a second, without the grace of a renamed one.
func TestDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		if err := os.Remove(h.path); err != nil {
			t.Fatal(err)
		}
		later(checkInterval + flushInterval)
		h.put(0, arrival, 0, 10)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := len(h.lines()); n != 10 {
			t.Errorf("%d lines", n)
		}
	})
}

// TestLinkToTheLog: the file behind a link is followed like any other.
func TestLinkToTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		target, link := filepath.Join(dir, "target"), filepath.Join(dir, "states.jsonl")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		h := newHarnessAt(t, 1, link)
		stop := h.start()
		total := 0
		h.run(&total, 100)
		if err := os.Rename(target, target+".1"); err != nil {
			t.Fatal(err)
		}
		h.run(&total, 1000) // 5 s
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.settled(total, target+".1", target)
	})
}

// TestSyncInterval: nothing that was written is unsynced for longer than the interval and a flush.
func TestSyncInterval(t *testing.T) {
	for _, interval := range []time.Duration{0, 200 * time.Millisecond, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarnessOf(t, Config{Path: filepath.Join(t.TempDir(), "states.jsonl"), Appenders: 1, SyncInterval: interval})
			stop := h.start()
			var longest time.Duration
			clean := 0           // times that nothing was left to sync
			for n := range 400 { // 20 s
				h.put(0, arrival.Add(time.Duration(n)), n, n+1)
				later(flushInterval)
				if n := h.Counters().Unsynced; n != h.file.dirty {
					t.Errorf("%d lines are said not to be synced, want %d", n, h.file.dirty)
				}
				if h.file.dirty > 0 {
					longest = max(longest, time.Since(h.file.synced))
				} else {
					clean++
				}
			}
			want := interval
			if interval == 0 {
				want = 20 * time.Second
			}
			if longest > want+flushInterval || longest < want/2 || clean > int(20*time.Second/want) {
				t.Errorf("every %v: unsynced for %v, synced %d times", interval, longest, clean)
			}
			if err := stop(); err != nil || h.file.dirty > 0 && h.file.open != nil || h.Counters().Unsynced != 0 {
				t.Error(err)
			}
		})
	}
}

// TestManyRenames renames the log again and again under load, now with a new file and now without.
func TestManyRenames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		stop := h.start()
		total := 0
		var paths []string
		for i := range 30 {
			h.run(&total, 10*(i%7)+10)
			old := h.path + "." + string('A'+rune(i))
			if os.Rename(h.path, old) == nil {
				paths = append(paths, old)
			}
			if i%3 == 0 {
				f, err := os.OpenFile(h.path, os.O_CREATE|os.O_EXCL, 0o644)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			if i%2 == 0 {
				later(time.Duration(i) * 100 * time.Millisecond)
			}
			if i%5 == 0 {
				h.Reopen()
			}
		}
		later(5 * time.Second)
		h.run(&total, 100)
		if err := stop(); err != nil {
			t.Error(err)
		}
		lines := h.numbers(h.all(append(paths, h.path)...))[0]
		slices.Sort(lines)
		if len(lines) != total || len(slices.Compact(lines)) != total {
			t.Errorf("%d lines of %d", len(lines), total)
		}
	})
}

// TestIsDeleted: a renamed file is not, whatever its name is.
func TestIsDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isDeleted(f) {
		t.Error("as created")
	}
	if err := os.Rename(path, path+" (deleted)"); err != nil {
		t.Fatal(err)
	}
	if isDeleted(f) {
		t.Error("when renamed")
	}
	if err := os.Remove(path + " (deleted)"); err != nil {
		t.Fatal(err)
	}
	if !isDeleted(f) {
		t.Error("when removed")
	}
}
