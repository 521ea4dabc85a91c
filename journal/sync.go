package journal

// mostBeside is how many files and syncs may wait for a slow disk until the gateway's own rotation waits for it too: each
// file that is left keeps a descriptor.
const mostBeside = 8

// beside does something on a goroutine beside the writing, after everything that was begun so before: no two syncs run at
// one time, and a file is closed when all of its own are over.
func (f *file) beside(do func()) {
	before, done := f.last, make(chan struct{})
	f.last = done
	f.pending.Add(1)
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		do()
		f.pending.Add(-1)
	}()
}

// settle waits until nothing is done beside the writing any more.
func (f *file) settle() {
	if f.last != nil {
		<-f.last
	}
}

// syncBeside makes safe what was written to the open file until now. The lines do not wait for it: a sync can take longer
// than the interval between two.
func (f *file) syncBeside() {
	open, dirty := f.open, f.dirty
	f.dirty = 0
	f.beside(func() { f.sync(open, dirty) })
}

// leave closes the current file, which unlocks it, once what was written is safe from a power failure.
func (f *file) leave() {
	left, dirty := f.open, f.dirty
	f.current.Store(nil)
	f.open, f.dirty = nil, 0
	if !left.regular {
		left.Close()
		return
	}
	left.cut()
	f.beside(func() {
		if dirty > 0 {
			f.sync(left, dirty)
		}
		left.Close()
		select {
		case f.rotated <- struct{}{}:
		default:
		}
	})
}

// sync makes what was written to a regular file, so many lines, safe from a power failure. It runs beside the writing, or
// when nothing else does.
func (f *file) sync(o *openFile, lines uint64) {
	err := f.fsync(o.File)
	if err != nil {
		f.errors[OpSync].Add(1)
		if f.syncErr == nil {
			f.cfg.Log.Error("state log: cannot sync; what was written may not outlive a power failure", "file", f.cfg.Path, "error", err)
		}
	} else {
		f.unsafe.Add(-lines)
		if !o.named {
			o.named = true
			syncDirectory(f.cfg.Path) // the file may have been created just now
		}
	}
	f.syncErr = err
}
