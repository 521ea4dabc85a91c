package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is what rotated files are compressed with; the gateway's own rotation only.
type Compression string

// The compressions.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
	Zstd          Compression = "zstd"
)

// extension returns what is added to a compressed file's name.
func (c Compression) extension() string {
	switch c {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	}
	return ""
}

// rotatedLayout is in the name of a rotated file: engine_states-20261123T091500.000Z.jsonl. Such names sort by age.
const rotatedLayout = "20060102T150405.000Z"

// rotate gives the full file another name and goes on in a new one.
func (f *file) rotate(now time.Time) {
	if at, err := os.Stat(f.cfg.Path); err != nil || !os.SameFile(at, f.open.info) {
		return // somebody else is rotating it
	}
	err := f.rename(now)
	var opened *openFile
	if err == nil {
		opened, err = openLog(f.cfg.Path, f.cfg.Mode) // if it fails: followed, as after anybody's rename
	}
	if err == nil {
		f.unrotated = false
		f.take(opened, nil)
		return
	}
	f.errors[OpRotate].Add(1)
	f.nextRotation = now.Add(checkInterval)
	if !f.unrotated {
		f.unrotated = true
		f.cfg.Log.Error("state log: cannot rotate; writing on in the same file", "file", f.cfg.Path, "error", err)
	}
}

// rename gives the open file the name of a rotated one.
func (f *file) rename(now time.Time) error {
	path, err := f.target()
	if err != nil {
		return err
	}
	files, err := rotatedFiles(path)
	if err != nil {
		return err
	}
	stamp := now.UTC().Truncate(time.Millisecond)
	if n := len(files); n > 0 && !stamp.After(files[n-1].time) {
		stamp = files[n-1].time.Add(time.Millisecond) // the clock was set back: the names sort by age all the same
	}
	dir, prefix, suffix := rotatedParts(path)
	return os.Rename(path, filepath.Join(dir, prefix+stamp.Format(rotatedLayout)+suffix))
}

// target returns where the log is when its path is a link: the rotated files go there too, and the link stays.
func (f *file) target() (string, error) {
	if inherited(f.cfg.Path) {
		return "", errors.New("/dev/stdout and its like stay the same file when that is renamed")
	}
	return filepath.EvalSymlinks(f.cfg.Path)
}

// inherited reports whether a path stands for something that a process has open already.
func inherited(path string) bool {
	return slices.ContainsFunc([]string{"/dev/std", "/dev/fd/", "/proc/"}, func(p string) bool { return strings.HasPrefix(path, p) })
}

// rotatedParts returns where rotated files are, and what is before and behind the time in their names.
func rotatedParts(path string) (dir, prefix, suffix string) {
	dir, base := filepath.Split(path)
	suffix = filepath.Ext(base)
	return filepath.Clean(dir + "."), strings.TrimSuffix(base, suffix) + "-", suffix
}

// keep looks after the rotated files in the background until ctx is done: compresses them, and removes the oldest when
// there are more than Keep.
func (f *file) keep(ctx context.Context) {
	for {
		if err := f.tidy(ctx); err != nil && ctx.Err() == nil {
			f.errors[OpCompress].Add(1)
			f.cfg.Log.Error("state log: rotated files", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-f.rotated:
		}
	}
}

// rotatedFile is a file that was rotated, compressed or not.
type rotatedFile struct {
	path       string
	time       time.Time // in the name
	compressed bool
	unfinished bool // a compression that was interrupted
}

// tidy brings the rotated files into order once.
func (f *file) tidy(ctx context.Context) error {
	path, err := f.target()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the writer says what there is to say
	} else if err != nil {
		return err
	}
	files, err := rotatedFiles(path)
	if err != nil {
		return err
	}
	var errs []error
	var whole []rotatedFile
	for _, r := range files {
		last := len(whole) - 1
		switch {
		case r.unfinished:
			errs = append(errs, os.Remove(r.path))
		case last >= 0 && whole[last].time.Equal(r.time): // interrupted when it was compressed and not yet removed
			errs = append(errs, os.Remove(whole[last].path))
			whole[last] = r
		default:
			whole = append(whole, r)
		}
	}
	if f.cfg.Keep > 0 && len(whole) > f.cfg.Keep {
		for _, r := range whole[:len(whole)-f.cfg.Keep] {
			errs = append(errs, os.Remove(r.path))
		}
		whole = whole[len(whole)-f.cfg.Keep:]
	}
	for _, r := range whole {
		if !r.compressed && f.cfg.Compress.extension() != "" && !f.isCurrent(r.path) && ctx.Err() == nil {
			errs = append(errs, compress(ctx, r.path, f.cfg.Compress))
		}
	}
	return errors.Join(errs...)
}

// isCurrent reports whether lines may still be written to a file: one that was renamed, but has no successor yet. A file
// that is not the current one any more never is again.
func (f *file) isCurrent(path string) bool {
	current := f.current.Load()
	if current == nil {
		return false
	}
	info, err := current.Stat()
	at, atErr := os.Stat(path)
	return err == nil && atErr == nil && os.SameFile(info, at)
}

// unfinishedExtension is at the end of the name of a compressed file that is being written.
const unfinishedExtension = ".part"

// rotatedFiles returns the rotated files of the log at path, the oldest first. Only names that rename makes are among
// them.
func rotatedFiles(path string) ([]rotatedFile, error) {
	dir, prefix, suffix := rotatedParts(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []rotatedFile
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || len(rest) < len(rotatedLayout) || !e.Type().IsRegular() {
			continue
		}
		stamp, err := time.Parse(rotatedLayout, rest[:len(rotatedLayout)])
		if err != nil {
			continue
		}
		r := rotatedFile{path: filepath.Join(dir, e.Name()), time: stamp}
		end, unfinished := strings.CutSuffix(rest[len(rotatedLayout):], unfinishedExtension)
		switch r.unfinished = unfinished; end {
		case suffix:
		case suffix + Gzip.extension(), suffix + Zstd.extension():
			r.compressed = true
		default:
			continue
		}
		files = append(files, r)
	}
	slices.SortFunc(files, func(a, b rotatedFile) int {
		return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.path, b.path)) // a compressed one after what it was made from
	})
	return files, nil
}

// compress replaces a file by its compressed form. Under the compressed name there is never half of it: the name is
// given when it is whole and safe, and the original goes only then.
func compress(ctx context.Context, path string, c Compression) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	target := path + c.extension()
	part := target + unfinishedExtension
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(part)
		}
	}()
	w, err := c.writer(out)
	if err != nil {
		return err
	}
	if _, err = io.Copy(w, contextReader{ctx, in}); err != nil {
		return err
	}
	out.Chmod(info.Mode().Perm()) // whatever the umask
	if err = errors.Join(w.Close(), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err = os.Rename(part, target); err != nil {
		return err
	}
	syncDirectory(target)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // one processor at most: the gateway has other work
	}
	return nil, fmt.Errorf("no compression %q", c)
}

// syncDirectory makes names safe from a power failure, where a directory can be synced.
func syncDirectory(path string) {
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		dir.Sync()
		dir.Close()
	}
}

// contextReader ends a copy when ctx is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
