package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// checkInterval is how often the path is compared with the open file, and how often what failed is tried again.
	checkInterval = time.Second

	// renameGrace is how long after a rename was noticed lines still go to the old file, so that whoever renamed it
	// can create the new one first: logrotate takes it amiss when its own file is there already. A renamed file is
	// written to for at most checkInterval + renameGrace.
	renameGrace = time.Second
)

// drop is why a line is not in the file.
type drop int

const (
	dropError drop = iota // the file did not take it
	dropSpace             // the disk is nearly full
)

// Op is an operation on the file that can fail.
type Op int

// The operations.
const (
	OpOpen Op = iota
	OpWrite
	OpSync
	OpRotate
	OpCompress
	Ops
)

var opNames = [Ops]string{"open", "write", "sync", "rotate", "compress"}

// String returns the operation's name in metrics.
func (o Op) String() string { return opNames[o] }

// file is the log's file: opened when it can be, followed when it is renamed, appended to in whole lines. It belongs to
// the writer, but for the atomics and what is said of other goroutines.
type file struct {
	cfg  Config
	open *openFile // nil while there is none
	size int64     // bytes of it, if it is a regular one

	due     time.Time // of the next look after the file
	renamed time.Time // when the path was first seen to be another file, or none; zero if it is this one
	kept    bool      // it was said that the open file is kept although it was renamed
	synced  time.Time // when the last regular sync began
	dirty   uint64    // lines written to it, if it is a regular file, since a sync of it began
	retry   time.Time // nothing is written before, after a failure

	nextRotation time.Time // no rotation is tried before, after one that failed
	unrotated    bool      // that was said

	failing  bool   // the last write or opening failed, or the disk is nearly full, and it was said
	lost     uint64 // lines since then
	lowSpace bool

	last    chan struct{}        // closed when everything that was begun beside the writing is done; nil: nothing was
	pending atomic.Int32         // of these, how many are not done
	syncErr error                // of the last sync, and it was said; theirs
	fsync   func(*os.File) error // theirs

	current  atomic.Pointer[os.File]   // open's, for other goroutines
	deadline atomic.Pointer[time.Time] // of writes to what is not a regular file, after a stop
	unsafe   atomic.Uint64             // lines written, and not synced
	errors   [Ops]atomic.Uint64
	reopens  atomic.Uint64
	torn     atomic.Uint64
	trouble  atomic.Pointer[string] // why lines are being dropped; nil while they are not
	reopen   atomic.Bool            // look at once, and do not wait for somebody to create the file
	rotated  chan struct{}          // tells the keeper that a file was left
}

// start opens the file for the first time. Only what another process or somebody else's file is in the way of is an
// error; anything else may pass, and is tried again.
func (f *file) start(now time.Time) error {
	f.due, f.synced = now.Add(checkInterval), now
	opened, err := openLog(f.cfg.Path, f.cfg.Mode)
	if _, held := errors.AsType[*HeldError](err); held {
		return err
	}
	if _, foreign := errors.AsType[*ForeignError](err); foreign {
		return err
	}
	f.take(opened, err)
	f.checkSpace()
	return nil
}

// take makes an opened file the current one, or notes why there is none.
func (f *file) take(opened *openFile, err error) {
	if err != nil {
		f.fail(OpOpen, err)
		return
	}
	if f.open != nil {
		f.leave()
		f.reopens.Add(1)
	}
	f.open, f.size, f.renamed, f.kept, f.retry = opened, opened.info.Size(), time.Time{}, false, time.Time{}
	f.current.Store(opened.File)
	if d := f.deadline.Load(); d != nil {
		opened.SetWriteDeadline(*d)
	}
	if opened.torn > 0 {
		f.torn.Add(1)
		f.cfg.Log.Warn("state log: a torn last line was cut off", "file", f.cfg.Path, "bytes", opened.torn)
	}
}

// hurry bounds the time of writes to a FIFO, also of one that is under way. A regular file has no such bound, and needs
// none. Safe from any goroutine.
func (f *file) hurry(deadline time.Time) {
	f.deadline.Store(&deadline) // first: take looks after it has stored the file
	if current := f.current.Load(); current != nil {
		current.SetWriteDeadline(deadline)
	}
}

// tend looks after the file: once a second, whether there are lines or not, and at once when asked to.
func (f *file) tend(now time.Time) {
	if asked := f.reopen.Swap(false); asked || !now.Before(f.due) {
		f.due = now.Add(checkInterval)
		if f.open == nil {
			f.take(openLog(f.cfg.Path, f.cfg.Mode))
		} else if f.open.regular {
			f.follow(now, asked)
		}
		f.checkSpace()
	}
	if f.cfg.SyncInterval > 0 && f.dirty > 0 && now.Sub(f.synced) >= f.cfg.SyncInterval && f.pending.Load() == 0 {
		f.synced = now
		f.syncBeside()
	}
}

// follow goes on to another file when the open one is no longer the one at the path.
func (f *file) follow(now time.Time, asked bool) {
	at, err := os.Stat(f.cfg.Path)
	if err == nil && os.SameFile(at, f.open.info) {
		f.renamed, f.kept, f.size = time.Time{}, false, at.Size() // smaller, if somebody has truncated it
		return
	}
	if f.renamed.IsZero() {
		f.renamed = now
	}
	deleted := isDeleted(f.open.File)
	if err != nil && !asked && !deleted && now.Sub(f.renamed) < renameGrace {
		return
	}
	opened, err := openLog(f.cfg.Path, f.cfg.Mode)
	switch {
	case err == nil:
		f.take(opened, nil)
		f.cfg.Log.Info("state log: renamed; going on in the new file", "file", f.cfg.Path)
	case deleted:
		f.leave()
		f.fail(OpOpen, err)
	default:
		f.errors[OpOpen].Add(1)
		if !f.kept {
			f.kept = true
			f.cfg.Log.Error("state log: renamed, but the new file cannot be opened; writing on in the old one", "file", f.cfg.Path, "error", err)
		}
	}
}

// full reports whether the open file becomes too large by so many more bytes.
func (f *file) full(more int) bool {
	return f.cfg.MaxSize > 0 && f.open.regular && f.size > 0 && f.size+int64(more) > f.cfg.MaxSize
}

// write appends whole lines, n of them, and returns what of them the file has now, and why it does not have the rest.
func (f *file) write(lines []byte, n uint64) (size int, written uint64, why drop) {
	now := time.Now()
	f.tend(now)
	switch {
	case f.lowSpace:
		f.lost += n
		return 0, 0, dropSpace
	case f.open == nil || now.Before(f.retry):
		f.lost += n
		return 0, 0, dropError
	}
	if f.full(len(lines)) && !now.Before(f.nextRotation) && f.pending.Load() < mostBeside {
		f.rotate(now)
	}
	err := f.open.cut()
	if err == nil {
		size, err = f.open.Write(lines)
		f.size += int64(size)
	}
	if err == nil {
		f.wrote(n)
		f.recovered()
		return size, n, 0
	}
	whole := bytes.LastIndexByte(lines[:size], '\n') + 1
	written = uint64(bytes.Count(lines[:whole], []byte{'\n'}))
	f.lost += n - written
	f.wrote(written)
	f.failed(size-whole, err)
	f.fail(OpWrite, err)
	return whole, written, dropError
}

// wrote notes lines that the file has, and that a power failure may take from it.
func (f *file) wrote(lines uint64) {
	if f.open.regular { // nothing else is ever synced
		f.dirty += lines
		f.unsafe.Add(lines)
	}
}

// failed tidies up after a write that failed and left so many bytes of a line.
func (f *file) failed(torn int, err error) {
	if !f.open.regular || errors.Is(err, syscall.ESTALE) {
		// The next reader of a FIFO must not begin in the middle of a line, and closing empties it. A stale file stays
		// stale. Both are opened again at the next try; a regular file is kept, since with it the lock would go.
		f.leave()
		return
	}
	if torn == 0 {
		return
	}
	info, err := f.open.Stat()
	if err == nil && info.Size() < int64(torn) {
		return // truncated by somebody else, the torn line too
	}
	if f.open.whole = f.size - int64(torn); err == nil {
		f.open.whole = info.Size() - int64(torn)
	}
	if f.open.cut() == nil {
		f.size -= int64(torn)
	}
}

// fail counts an error, says the first of a row, and puts the next try off.
func (f *file) fail(op Op, err error) {
	f.errors[op].Add(1)
	f.retry = time.Now().Add(checkInterval) // not from before: the failure may have taken its time
	f.begin(err.Error())
}

// begin says that lines are being dropped from now on.
func (f *file) begin(why string) {
	if !f.failing {
		f.failing = true
		f.cfg.Log.Error("state log: cannot write; states are dropped from it until that works again", "file", f.cfg.Path, "error", why)
	}
	f.trouble.Store(&why) // last: whoever sees the trouble finds the message
}

// recovered says that it works again.
func (f *file) recovered() {
	if f.failing {
		f.cfg.Log.Info("state log: writing again", "file", f.cfg.Path, "lost", f.lost)
		f.failing, f.lost = false, 0
		f.trouble.Store(nil)
	}
}

// checkSpace stops the writing before the disk is full, and lets it go on when there is room again.
func (f *file) checkSpace() {
	f.lowSpace = false
	if f.cfg.MinFree <= 0 || f.open == nil || !f.open.regular {
		return
	}
	if free, err := freeBytes(f.open.File); err == nil && free < f.cfg.MinFree {
		f.lowSpace = true
		f.begin(fmt.Sprintf("the disk has %d bytes left, less than the %d of LOG_MIN_FREE", free, f.cfg.MinFree))
	}
}

// close makes the file safe and closes it.
func (f *file) close() error {
	f.settle()
	err := f.syncErr // a sync that succeeds after one that failed does not make good what that one lost
	if f.open != nil {
		f.open.cut() // or the next start does it
		if f.dirty > 0 {
			f.sync(f.open, f.dirty)
			err = cmp.Or(err, f.syncErr)
		}
		f.current.Store(nil)
		err = errors.Join(err, f.open.Close())
		f.open = nil
	}
	if f.failing {
		f.cfg.Log.Error("state log: ends with lines lost", "file", f.cfg.Path, "lost", f.lost)
	}
	return err
}

// isDeleted reports whether an open file was deleted, not renamed: nobody can ever read what is written there. Some file
// systems still count a name then, as fuse-overlayfs does, which is below containers; Linux marks the file as deleted.
func isDeleted(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink == 0 {
		return true
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || !strings.HasSuffix(name, " (deleted)") {
		return false
	}
	at, err := os.Stat(name) // a name may end so
	return err != nil || !os.SameFile(at, info)
}
