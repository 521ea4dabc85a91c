package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/elrar/state-gateway/journal"
)

// LogFile is what the state log's path leads to.
type LogFile struct {
	Path   string   // absolute where that is known
	Exists bool     //
	Error  string   // why it cannot be looked at, or written by this user; "" = it can
	Mount  bool     // the file itself is mounted, not its folder
	Size   [2]int64 // at both looks
	Free   uint64   // bytes on its disk
	Holder int      // the process that has it locked for writing; 0 = none that can be seen

	// Of the gateway's own process, if it can be seen:
	Known    bool     // it can
	Open     bool     // it has this very file open
	OpenElse []string // files that it appends to in place of it
}

// lookAtLog looks at a path. Gateway is the gateway's process, or 0: what it calls its path may be another place for it.
func lookAtLog(path string, gateway int) (l LogFile) {
	l.Path = path
	root := ""
	if gateway != 0 {
		if folder, err := os.Readlink(procFolder(gateway) + "/cwd"); err == nil {
			root = procFolder(gateway) + "/root" // its own view, should it be in a container
			if !filepath.IsAbs(l.Path) {
				l.Path = filepath.Join(folder, l.Path)
			}
		}
	} else if absolute, err := filepath.Abs(path); err == nil {
		l.Path = absolute
	}
	seen := root + l.Path
	info, err := os.Stat(seen)
	switch {
	case err == nil:
		l.Exists = true
		l.Size[0] = info.Size()
		l.Holder = journal.LockHolder(info)
		l.Error = writable(seen)
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(seen)); err != nil {
			l.Error = "its folder " + filepath.Dir(l.Path) + " does not exist"
		} else if text := writable(filepath.Dir(seen)); text != "" {
			l.Error = "its folder: " + text
		}
	default:
		l.Error = err.Error()
	}
	l.Free = free(filepath.Dir(seen))
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	l.Mount = mounted(string(mounts), l.Path)
	if gateway != 0 {
		l.Known, l.Open, l.OpenElse = openFiles(gateway, info)
	}
	return l
}

// lookAgain notes what has become of the file since lookAtLog.
func (l *LogFile) lookAgain(gateway int) {
	again := lookAtLog(l.Path, gateway)
	l.Size[1] = again.Size[0]
	l.Open = l.Open || again.Open
}

// openFiles returns whether a process has the file open, and else which files it appends to; known is false if it may not
// be looked at.
func openFiles(pid int, file os.FileInfo) (known, open bool, others []string) {
	folder := procFolder(pid) + "/fd"
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false, false, nil
	}
	for _, e := range entries {
		info, err := os.Stat(folder + "/" + e.Name())
		if err != nil {
			continue
		}
		if file != nil && os.SameFile(info, file) {
			return true, true, nil
		}
		details, _ := os.ReadFile(procFolder(pid) + "/fdinfo/" + e.Name())
		if link, err := os.Readlink(folder + "/" + e.Name()); err == nil && appends(string(details)) {
			others = append(others, link)
		}
	}
	return true, false, others
}

// appends reports whether a file is open for appending, by the text of its /proc/…/fdinfo.
func appends(fdinfo string) bool {
	for line := range strings.Lines(fdinfo) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
			return err == nil && flags&unix.O_APPEND != 0
		}
	}
	return false
}

// writable returns why this user may not write a file, or into a folder, or "".
func writable(path string) string {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
		return "user " + strconv.Itoa(os.Geteuid()) + " may not write it: " + err.Error()
	}
	return ""
}

// free returns the bytes that are left on a folder's disk, or 0 if that is not known.
func free(folder string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(folder, &s) != nil {
		return 0
	}
	return uint64(s.Bavail) * uint64(s.Bsize)
}

func procFolder(pid int) string { return "/proc/" + strconv.Itoa(pid) }

// mounted reports whether something is mounted at a path, by the text of /proc/self/mountinfo.
func mounted(mountinfo, path string) bool {
	// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
	escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == escaped {
			return true
		}
	}
	return false
}
