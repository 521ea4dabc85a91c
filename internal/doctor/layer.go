package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// layers are the file systems of which container engines make a container's root. A root of another kind is one that
// stays, as that of a system container, or cannot be told from one.
var layers = []string{"overlay", "fuse.fuse-overlayfs", "aufs"}

// inLayer returns the folder of a file, absolute, if the file is, or will be made, in the container's own layer, which is
// removed with the container: else "". A device, a pipe and a file that is itself mounted are not in it.
func inLayer(file string) string {
	mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
	if !slices.Contains(layers, rootType(string(mountinfo))) {
		return ""
	}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	path, err := filepath.Abs(file)
	if err != nil || mounted(string(mountinfo), path) {
		return ""
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return ""
	}
	// A mount may be a directory of a host that is itself a container, and so an overlay as well: the device tells.
	var root, folder unix.Stat_t
	if unix.Stat("/", &root) != nil || unix.Stat(filepath.Dir(path), &folder) != nil || root.Dev != folder.Dev {
		return ""
	}
	return filepath.Dir(path)
}

// rootType returns the type of the file system at /, by the text of /proc/self/mountinfo; of several the last is on top.
func rootType(mountinfo string) (kind string) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		if f, g := strings.Fields(before), strings.Fields(after); len(f) > 4 && f[4] == "/" && len(g) > 0 {
			kind = g[0]
		}
	}
	return kind
}
