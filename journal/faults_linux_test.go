package journal

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/internal/needs"
)

// mount mounts something for the time of the test.
func mount(t *testing.T, source, dir, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, dir, kind, flags, data); err != nil {
		needs.Skip(t, fmt.Sprintf("%s cannot be mounted (it takes root): %v", kind, err))
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// smallDisk returns a directory on a file system of its own of so many KiB.
func smallDisk(t *testing.T, kib string) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size="+kib+"k")
	return dir
}

// TestDiskFull fills a 64 KiB disk and frees it, row 15: whatever part of a write fits, the file has whole lines, and the
// writing resumes within a second.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "64")
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessAt(t, 1, filepath.Join(dir, "states.jsonl"))
		stop := h.start()
		total := 0
		h.run(&total, 1000) // 5 s
		h.numbers(h.lines())
		c := h.account(uint64(total), h.content())
		if c.Written < 50 || c.DroppedError < 800 || c.Queued != 0 || c.Errors[OpWrite] < 4 || c.Errors[OpWrite] > 6 {
			t.Errorf("while the disk is full: %+v", c)
		}
		if h.Trouble() == "" {
			t.Error("no trouble")
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		later(checkInterval)
		before := h.Counters()
		h.run(&total, 50)
		if c := h.account(uint64(total), h.content()); c.Written != before.Written+50 || c.DroppedError != before.DroppedError {
			t.Errorf("when there was room again: %+v after %+v", c, before)
		}
		if why := h.Trouble(); why != "" {
			t.Errorf("still in trouble: %s", why)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.numbers(h.lines())
		h.said("ERROR", 1)
		h.said(fmt.Sprintf(`writing again" file=%s lost=%d`, h.path, before.DroppedError), 1)
	})
}

// TestPartThatCannotBeCut makes the file append-only when the disk is full: the part of a line that is in it stays the
// last, and nothing is glued to it, until it can be cut off.
func TestPartThatCannotBeCut(t *testing.T) {
	dir := smallDisk(t, "64")
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessAt(t, 1, filepath.Join(dir, "states.jsonl"))
		appendOnly := func(flags int) {
			if err := unix.IoctlSetPointerInt(int(h.file.open.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
				needs.Skip(t, fmt.Sprintf("a file cannot be made append-only here: %v", err))
			}
		}
		appendOnly(0x20) // FS_APPEND_FL
		stop := h.start()
		total := 0
		h.run(&total, 200)
		part := h.content()
		if strings.HasSuffix(part, "\n") || h.file.open.whole < 0 {
			t.Fatalf("no part of a line is left: ends in %q", part[len(part)-20:])
		}
		os.Remove(other)
		h.run(&total, 500)
		if h.content() != part {
			t.Error("something was written behind a part of a line")
		}
		appendOnly(0)
		later(2 * checkInterval)
		h.run(&total, 50)
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.numbers(h.lines())
		h.account(uint64(total), h.content())
		h.said("ERROR", 1)
	})
}

// TestMinFree: the writing stops while the disk still has the room that is to be kept, is counted apart, and resumes.
func TestMinFree(t *testing.T) {
	dir := smallDisk(t, "1024")
	other := filepath.Join(dir, "other")
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessOf(t, Config{Path: filepath.Join(dir, "states.jsonl"), Appenders: 1, MinFree: 512 << 10})
		stop := h.start()
		total := 0
		h.run(&total, 200)
		if err := os.WriteFile(other, make([]byte, 600<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		later(checkInterval)
		before := h.Counters()
		if before.Written != 200 {
			t.Errorf("with enough room: %+v", before)
		}
		h.run(&total, 300)
		if c := h.account(uint64(total), h.content()); c.DroppedSpace != 300 || c.Written != 200 || c.Errors != [Ops]uint64{} {
			t.Errorf("with too little room: %+v", c)
		}
		if !strings.Contains(h.Trouble(), "LOG_MIN_FREE") {
			t.Errorf("trouble %q", h.Trouble())
		}
		os.Remove(other)
		later(checkInterval)
		h.run(&total, 100)
		if c := h.account(uint64(total), h.content()); c.DroppedSpace != 300 || c.Written != 300 {
			t.Errorf("with room again: %+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.said("ERROR", 1)
		h.said("lost=300", 1)
	})
}

// TestReadOnlyAtStart, row 22: the gateway runs without its log, and has it a second after the disk can be written to.
func TestReadOnlyAtStart(t *testing.T) {
	dir := smallDisk(t, "1024")
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=1024k"); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessAt(t, 1, filepath.Join(dir, "states.jsonl"))
		stop := h.start()
		total := 0
		h.run(&total, 600)
		if c := h.account(uint64(total), ""); c.DroppedError != 600 || !strings.Contains(h.Trouble(), "read-only") {
			t.Errorf("%+v; trouble %q", c, h.Trouble())
		}
		remount(0)
		later(checkInterval)
		h.run(&total, 100)
		if c := h.account(uint64(total), h.content()); c.Written != 100 {
			t.Errorf("%+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.said("ERROR", 1)
	})
}

// TestDiskTurnsReadOnly, row 22: a file system that finds itself broken refuses all writes from then on. A new disk is
// put in its place.
func TestDiskTurnsReadOnly(t *testing.T) {
	mkfs, mountCommand := needs.Command(t, "mkfs.ext4"), needs.Command(t, "mount")
	needs.Root(t)
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			needs.Skip(t, fmt.Sprintf("%s %v: %v: %s", name, args, err, out))
		}
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	run(mkfs, "-q", "-F", image)
	run(mountCommand, "-o", "loop", image, dir)
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessAt(t, 1, filepath.Join(dir, "states.jsonl"))
		stop := h.start()
		total := 0
		h.run(&total, 100)
		run(mountCommand, "-o", "remount,abort", dir) // the kernel's own way of trying out a broken ext4
		h.run(&total, 600)
		if c := h.account(uint64(total), h.content()); c.DroppedError < 590 || c.Errors[OpWrite] < 3 || c.Errors[OpWrite] > 5 {
			t.Errorf("while nothing can be written: %+v", c)
		}
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		mount(t, "tmpfs", dir, "tmpfs", 0, "size=1024k")
		later(2*checkInterval + renameGrace)
		before := h.Counters()
		h.run(&total, 100)
		if c := h.Counters(); c.Written != before.Written+100 || c.Reopens != 1 {
			t.Errorf("on a new disk: %+v after %+v", c, before)
		}
		stop()
		h.numbers(h.lines())
		h.said("cannot write", 1)
	})
}

// asNobody runs f without root's rights over files.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	needs.Root(t)
	runtime.LockOSThread() // the kernel keeps this by thread
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer unix.Setfsuid(0)
	f()
}

// nobodyMay gives a directory of t.TempDir the permissions, and lets nobody pass the one above it, the test's own.
func nobodyMay(t *testing.T, dir string, permissions os.FileMode) {
	t.Helper()
	if err := os.Chmod(dir, permissions); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		if _, err := os.Stat(dir); err != nil {
			needs.Skip(t, "nobody may not pass the temporary directory: "+err.Error())
		}
	})
}

// TestNewFileIsSomebodyElses, row 20: the old file is kept, that is said once, and it is tried again every second.
func TestNewFileIsSomebodyElses(t *testing.T) {
	needs.Root(t)
	h := newHarness(t, 1)
	nobodyMay(t, filepath.Dir(h.path), 0o777)
	h.put(0, arrival, 0, 10)
	h.drain()
	if err := os.Rename(h.path, h.path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path, nil, 0o600); err != nil { // root's
		t.Fatal(err)
	}
	now := time.Now()
	asNobody(t, func() {
		for n := range 20 {
			h.file.tend(now.Add(time.Duration(n+1) * checkInterval))
		}
		h.put(0, arrival, 10, 30)
		h.drain()
	})
	if old, err := os.ReadFile(h.path + ".1"); err != nil || len(h.split(old)) != 30 {
		t.Errorf("%d lines in the old file, %v", len(h.split(old)), err)
	}
	if c := h.Counters(); c.Errors[OpOpen] != 20 || c.DroppedError != 0 || c.Reopens != 0 {
		t.Errorf("%+v", c)
	}
	h.said("ERROR", 1)
	if err := os.Chown(h.path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		h.file.tend(now.Add(21 * checkInterval))
		h.put(0, arrival, 30, 40)
		h.drain()
	})
	if n := len(h.lines()); n != 10 {
		t.Errorf("%d lines in the new file", n)
	}
	h.said("going on in the new file", 1)

	// When the old one is deleted, nothing can be written any more, and that is counted.
	if err := os.Rename(h.path, h.path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		h.file.tend(now.Add(22 * checkInterval))
		os.Remove(h.path + ".1")
		h.file.tend(now.Add(23 * checkInterval))
		h.put(0, arrival, 40, 50)
		h.drain()
	})
	if c := h.Counters(); c.DroppedError != 10 || c.Written != 40 || h.Trouble() == "" {
		t.Errorf("%+v", c)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestRotationIsRefused, a directory in which nothing can be renamed: lines go on into the file, and it is said once.
func TestRotationIsRefused(t *testing.T) {
	h := newHarnessOf(t, Config{Path: filepath.Join(t.TempDir(), "states.jsonl"), Appenders: 1, MaxSize: 1 << 10})
	nobodyMay(t, filepath.Dir(h.path), 0o755)
	asNobody(t, func() {
		for n := range 100 {
			h.put(0, arrival, 10*n, 10*n+10)
			h.drain()
			h.file.nextRotation = time.Time{}
		}
	})
	h.settled(1000, h.path)
	if c := h.Counters(); c.Errors[OpRotate] != 99 {
		t.Errorf("%+v", c)
	}
	h.said("level=", 1)
	h.put(0, arrival, 1000, 1010)
	h.drain()
	if n := len(names(t, filepath.Dir(h.path))); n != 2 {
		t.Errorf("%d files when it can be rotated again", n)
	}
}

// TestDeviceThatTakesNothing: every try fails, there is one a second, and that is one message.
func TestDeviceThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessAt(t, 1, "/dev/full")
		stop := h.start()
		total := 0
		h.run(&total, 1000) // 5 s
		if c := h.account(1000, ""); c.DroppedError != 1000 || c.Errors[OpWrite] < 5 || c.Errors[OpWrite] > 6 {
			t.Errorf("%+v", c)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.said("cannot write", 1)
		h.said("lost=1000", 1) // at the end
		h.said("level=", 2)
	})
}

// TestInheritedOutput: /dev/stdout and its like work, whatever is behind them.
func TestInheritedOutput(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	h := newHarnessAt(t, 1, fmt.Sprintf("/dev/fd/%d", write.Fd()))
	stop := h.start()
	h.put(0, arrival, 0, 100)
	if err := stop(); err != nil {
		t.Error(err)
	}
	write.Close()
	if got, err := io.ReadAll(read); err != nil || len(h.numbers(h.split(got))[0]) != 100 {
		t.Errorf("a pipe: %d bytes, %v", len(got), err)
	}

	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	h = newHarnessOf(t, Config{Path: fmt.Sprintf("/dev/fd/%d", out.Fd()), Appenders: 1, MaxSize: 1024, Compress: Gzip})
	stop = h.start()
	for n := range 10 {
		h.put(0, arrival.Add(time.Duration(n)), 10*n, 10*n+10)
		h.file.reopen.Store(true)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(out.Name()); err != nil || len(h.numbers(h.split(got))[0]) != 100 {
		t.Errorf("a file: %d bytes, %v", len(got), err)
	}
	if files, _ := filepath.Glob(out.Name() + "*"); len(files) != 1 {
		t.Errorf("rotated: %v", files)
	}
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheckChangesNothing: what is no regular file is neither read nor waited for.
func TestCheckChangesNothing(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "nothing"), t.TempDir(), os.DevNull, fifo(t)} {
		if err := CheckFile(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// reader opens a FIFO for reading.
func reader(t *testing.T, path string) *os.File {
	t.Helper()
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestFIFOWithoutReader, row 16: the writer does not wait for one, and can be stopped; when one comes, it gets what
// comes then.
func TestFIFOWithoutReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessAt(t, 1, fifo(t))
		stop := h.start()
		h.put(0, arrival, 0, 10)
		later(flushInterval)
		if c := h.Counters(); c.DroppedError != 10 || c.Errors[OpOpen] != 1 {
			t.Errorf("without a reader: %+v", c)
		}
		r := reader(t, h.path)
		later(checkInterval)
		h.put(0, arrival, 10, 30)
		if err := stop(); err != nil {
			t.Error(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		if c := h.account(30, string(got)); c.Written != 20 || c.DroppedError != 10 {
			t.Errorf("%+v", c)
		}
		h.numbers(h.split(got))
	})
}

// TestNextReaderOfAFIFO: one that leaves in the middle of a line leaves nothing of it to the next.
func TestNextReaderOfAFIFO(t *testing.T) {
	path := fifo(t)
	first := reader(t, path)
	h := newHarnessAt(t, 1, path)
	stop := h.start()
	total := 0
	await := func(what string, until func(Counters) bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !until(h.Counters()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, h.Counters())
			}
			h.put(0, arrival.Add(time.Duration(total)), total, total+10)
			total += 10
		}
	}
	await("the FIFO is full", func(c Counters) bool { return c.Queued > 1000 })
	first.Close()
	await("the write fails", func(c Counters) bool { return c.Errors[OpWrite] > 0 })
	second := reader(t, h.path)
	got := make(chan []byte)
	before := h.Counters().Written
	await("the FIFO is open again", func(c Counters) bool { return c.Written > before })
	go func() {
		content, _ := io.ReadAll(second)
		got <- content
	}()
	await("the next one gets lines", func(c Counters) bool { return c.Written > before+1000 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	h.numbers(h.split(<-got))
	h.said("cannot write", 1)
}

// TestFIFOWithStalledReader, row 16: while nothing can be written, the appenders go on, and what does not fit is counted
// and said; a stop does not wait for the reader.
func TestFIFOWithStalledReader(t *testing.T) {
	for _, resumes := range []bool{true, false} {
		path := fifo(t)
		r := reader(t, path)
		h := newHarnessAt(t, 1, path)
		h.Appender(0).maxSegments = 4
		stop := h.start()
		total := 0
		put := func(until func(Counters) bool) {
			t.Helper()
			for deadline := time.Now().Add(20 * time.Second); !until(h.Counters()); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%+v", h.Counters())
				}
				h.put(0, arrival.Add(time.Duration(total)), total, total+100)
				total += 100
			}
		}
		put(func(c Counters) bool { return c.Written > 0 && c.DroppedRing > 1000 && h.Trouble() != "" })
		h.said("too slowly", 1)
		stalled := h.Counters()
		if stalled.Lag == 0 {
			t.Error("no lag")
		}
		got := make(chan []byte, 1)
		read := func() {
			content, _ := io.ReadAll(r)
			got <- content
		}
		if resumes {
			go read()
			put(func(c Counters) bool { return c.Written > stalled.Written+1000 })
		}
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 10*stallLimit {
			t.Errorf("stopped after %v", took)
		}
		if !resumes {
			read()
		}
		content := <-got
		c := h.Counters()
		if c.Queued != 0 || c.Written+c.DroppedRing+c.DroppedError != uint64(total) || resumes && c.DroppedError != 0 {
			t.Errorf("%d appended: %+v", total, c)
		}
		whole := content[:strings.LastIndexByte(string(content), '\n')+1] // a stop cuts off what a reader does not take
		if lines := h.split(whole); uint64(len(lines)) != c.Written || resumes && len(whole) != len(content) {
			t.Errorf("%d whole lines, %+v", len(lines), c)
		} else {
			h.numbers(lines)
		}
	}
}

// TestAppendersNeverWait compares the time of an appender's batches while the log works with that while it fails in
// one way or another: in the middle, none takes much longer.
func TestAppendersNeverWait(t *testing.T) {
	median := func(path string, prepare func()) time.Duration {
		if prepare != nil {
			prepare()
		}
		h := newHarnessAt(t, 1, path)
		stop := h.start()
		times := make([]time.Duration, 4000)
		s, text := numbered(0, 1)
		a := h.Appender(0)
		for i := range times {
			begin := time.Now()
			a.Begin(begin.UnixNano())
			for range 64 {
				a.Append(begin.UnixNano(), &s, text)
			}
			a.Commit()
			times[i] = time.Since(begin)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if c := h.Counters(); c.Written+c.DroppedError+c.DroppedRing != uint64(64*len(times)) {
			t.Errorf("%s: %+v", path, c)
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	healthy := median(os.DevNull, nil)
	stalled := fifo(t)
	for path, prepare := range map[string]func(){
		"/dev/full":                              nil,
		filepath.Join(t.TempDir(), "no", "file"): nil,
		stalled:                                  func() { reader(t, stalled) },
	} {
		if failing := median(path, prepare); failing > 20*healthy+time.Millisecond {
			t.Errorf("%s: a batch took %v, with a log that works %v", path, failing, healthy)
		}
	}
}
