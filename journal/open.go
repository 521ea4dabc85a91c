package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// HeldError says that another process writes the file.
type HeldError struct {
	Path string
	PID  int // of that process; 0 if it cannot be told
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is being written by another process", e.Path)
	}
	return fmt.Sprintf("%s is being written by process %d", e.Path, e.PID)
}

// ForeignError says that the file is no state log, so that it may be anything.
type ForeignError struct {
	Path string
	End  bool // its end is no state log's; else its beginning
}

func (e *ForeignError) Error() string {
	does := "begin"
	if e.End {
		does = "end"
	}
	return fmt.Sprintf("%s does not %s as a state log does: it is left alone", e.Path, does)
}

// openFile is a file that is open for appending, and this process's own if it is a regular one.
type openFile struct {
	*os.File
	info    os.FileInfo
	regular bool
	torn    int   // bytes of a torn last line that were cut off when it was opened
	named   bool  // its name is safe too since its first sync
	whole   int64 // size up to which the lines are whole, if a part of one is behind it; else -1
}

// openLog opens or creates the file. A regular file is locked against other gateways first, and then, if it is a state log,
// rid of the torn line that a kill or a power failure may have left. A FIFO or a device is taken as it is; a FIFO that
// nobody reads is an error (ENXIO): without O_NONBLOCK, which means nothing to a regular file, opening it would wait for a
// reader.
func openLog(path string, mode os.FileMode) (*openFile, error) {
	f, err := openOrCreate(path, mode)
	if err != nil {
		return nil, err
	}
	o := &openFile{File: f, whole: -1}
	if err := o.claim(path); err != nil {
		f.Close()
		return nil, err
	}
	return o, nil
}

func openOrCreate(path string, mode os.FileMode) (*os.File, error) {
	const flags = os.O_APPEND | syscall.O_NONBLOCK
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular():
			return os.OpenFile(path, os.O_RDWR|flags, 0) // reading: for what is in it
		case err == nil:
			return os.OpenFile(path, os.O_WRONLY|flags, 0)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDWR|flags|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				continue // somebody has just created it
			}
			f, err = os.OpenFile(path, os.O_RDWR|flags|os.O_CREATE, mode) // a link to what is not there yet
		}
		if err != nil {
			return nil, err
		}
		f.Chmod(mode) // whatever the umask; where files have no permissions, there are none to set
		return f, nil
	}
}

// claim locks and mends a regular file.
func (o *openFile) claim(path string) (err error) {
	if o.info, err = o.Stat(); err != nil {
		return err
	}
	if o.regular = o.info.Mode().IsRegular(); !o.regular {
		return nil
	}
	if err := unix.Flock(int(o.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return &HeldError{Path: path, PID: LockHolder(o.info)}
		}
		return os.NewSyscallError("flock", err)
	}
	if o.info, err = o.Stat(); err != nil { // its size, now that nobody else writes
		return err
	}
	if o.torn, err = torn(o.File, o.info.Size(), path); o.torn == 0 {
		return err
	}
	if err := o.Truncate(o.info.Size() - int64(o.torn)); err != nil {
		return err
	}
	o.info, err = o.Stat()
	return err
}

// cut cuts off what of a line was written before the disk was full. If that cannot be done now it must be done before
// anything else is written. What somebody else has truncated needs no cut.
func (o *openFile) cut() error {
	if o.whole < 0 {
		return nil
	}
	info, err := o.Stat()
	if err == nil && info.Size() > o.whole {
		err = o.Truncate(o.whole)
	}
	if err == nil {
		o.whole = -1
	}
	return err
}

// LockHolder returns the process that has a file locked, as /proc/locks tells, or 0.
func LockHolder(info os.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return 0
	}
	// 1: FLOCK  ADVISORY  WRITE 4242 fe:00:131 0 EOF
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)), stat.Ino)
	for line := range strings.Lines(string(locks)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[1] == "FLOCK" && fields[5] == id {
			pid, _ := strconv.Atoi(fields[4])
			return max(pid, 0)
		}
	}
	return 0
}
