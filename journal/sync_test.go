package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowDisk takes its time for each sync, and fails the test if two run at once or one is of a closed file.
type slowDisk struct {
	t     *testing.T
	takes time.Duration
	err   error // of every sync, if not nil
	syncs atomic.Int32
	busy  atomic.Bool
}

func (d *slowDisk) sync(f *os.File) error {
	d.syncs.Add(1)
	if d.busy.Swap(true) {
		d.t.Error("two syncs at once")
	}
	time.Sleep(d.takes)
	d.busy.Store(false)
	if err := f.Sync(); err != nil {
		d.t.Error(err)
	}
	return d.err
}

// newSlowHarness returns a harness whose syncs take their time.
func newSlowHarness(t *testing.T, cfg Config, takes time.Duration) (*harness, *slowDisk) {
	t.Helper()
	cfg.Path, cfg.Appenders = filepath.Join(t.TempDir(), "states.jsonl"), 1
	h, d := newHarnessOf(t, cfg), &slowDisk{t: t, takes: takes}
	h.file.fsync = d.sync
	return h, d
}

// TestSlowSync, row 37: the lines do not wait for syncs that take longer than their interval, and these do not pile up.
func TestSlowSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, d := newSlowHarness(t, Config{SyncInterval: 100 * time.Millisecond}, 150*time.Millisecond)
		stop := h.start()
		for total := 0; total < 2000; { // 10 s
			h.run(&total, 10)
			if c := h.Counters(); c.Written != uint64(total) {
				t.Fatalf("%d appended: %+v", total, c)
			}
		}
		if n := d.syncs.Load(); n < 10_000/250 || n > 10_000/150 {
			t.Errorf("%d syncs", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		h.settled(2000, h.path)
		h.said("level=", 0)
	})
}

// TestLeftDuringASync: the lines go on in the new file at once; the old one stays open and locked until its syncs are over.
func TestLeftDuringASync(t *testing.T) {
	for _, dirty := range []bool{false, true} { // when it is left
		synctest.Test(t, func(t *testing.T) {
			h, d := newSlowHarness(t, Config{SyncInterval: 100 * time.Millisecond}, 10*time.Second)
			stop := h.start()
			total := 0
			h.run(&total, 10)
			later(100 * time.Millisecond)
			if d.syncs.Load() != 1 || h.file.dirty > 0 {
				t.Fatalf("%d syncs are under way, %d lines dirty", d.syncs.Load(), h.file.dirty)
			}
			if dirty {
				h.run(&total, 10)
			}
			old, left := h.path+".1", total
			if err := os.Rename(h.path, old); err != nil {
				t.Fatal(err)
			}
			h.Reopen()
			h.run(&total, 100)
			if n := len(h.lines()); n != total-left {
				t.Errorf("%d lines in the new file", n)
			}
			if _, err := New(Config{Path: old}); err == nil {
				t.Error("the old file is not locked any more")
			}
			want := int32(2) // the one and the new file's
			if dirty {
				want++
			}
			later(time.Minute)
			if n := d.syncs.Load(); n != want {
				t.Errorf("%d syncs, want %d", n, want)
			}
			if j, err := New(Config{Path: old}); err != nil {
				t.Error(err)
			} else {
				j.Close()
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			h.settled(total, old, h.path)
			if n := d.syncs.Load(); n != want {
				t.Errorf("%d syncs at the end, want %d", n, want)
			}
		})
	}
}

// TestStopDuringASync: what was written is synced once, by the sync under way or after it, and an error of it is Run's.
func TestStopDuringASync(t *testing.T) {
	for _, dirty := range []int32{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			h, d := newSlowHarness(t, Config{SyncInterval: 100 * time.Millisecond}, time.Second)
			d.err = errors.New("no sync")
			stop := h.start()
			total := 0
			h.run(&total, 10)
			later(100 * time.Millisecond)
			h.run(&total, 10*int(dirty))
			if d.syncs.Load() != 1 {
				t.Fatalf("%d syncs are under way", d.syncs.Load())
			}
			if err := stop(); !errors.Is(err, d.err) {
				t.Errorf("error %v", err)
			}
			if n := d.syncs.Load(); n != 1+dirty {
				t.Errorf("%d syncs", n)
			}
			if c := h.Counters(); c.Errors[OpSync] != uint64(1+dirty) || c.Written != uint64(total) || h.Trouble() != "" {
				t.Errorf("%+v", c)
			}
			h.said("cannot sync", 1)
			h.said("level=", 1)
		})
	}
}

// TestSyncOnlyWhenLeft: without an interval a file is synced once, when it is left.
func TestSyncOnlyWhenLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, d := newSlowHarness(t, Config{}, time.Second)
		stop := h.start()
		total := 0
		h.run(&total, 1000)
		if n := d.syncs.Load(); n != 0 {
			t.Errorf("%d syncs", n)
		}
		os.Rename(h.path, h.path+".1")
		h.Reopen()
		h.run(&total, 1000)
		if n := d.syncs.Load(); n != 1 {
			t.Errorf("%d syncs", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := d.syncs.Load(); n != 2 {
			t.Errorf("%d syncs", n)
		}
		h.settled(total, h.path+".1", h.path)
	})
}

// TestRotationOnAStuckDisk: files that wait for their last sync keep descriptors; while there are many of them, the open
// file grows instead.
func TestRotationOnAStuckDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newSlowHarness(t, Config{MaxSize: 1 << 10}, time.Minute)
		stop := h.start()
		total := 0
		h.run(&total, 1000) // 5 s, 100 files
		if n := len(names(t, filepath.Dir(h.path))); n != mostBeside+1 {
			t.Errorf("%d files", n)
		}
		later(time.Hour)
		h.run(&total, 50)
		if n := len(names(t, filepath.Dir(h.path))); n <= mostBeside+1 {
			t.Errorf("%d files when the disk works again", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		var paths []string
		for _, path := range names(t, filepath.Dir(h.path)) {
			if path != h.path {
				paths = append(paths, path)
			}
		}
		h.settled(total, append(paths, h.path)...)
	})
}
