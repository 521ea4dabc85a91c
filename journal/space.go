package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// freeBytes returns the room that is left to this process on a file's disk.
func freeBytes(f *os.File) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
