package journal

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Config describes a Journal.
type Config struct {
	Path      string
	Appenders int // one a reader
	Log       *slog.Logger

	Mode         os.FileMode   // permissions of a file that is created; 0 = 0644
	SyncInterval time.Duration // between syncs to the disk; 0 = only when a file is left
	MinFree      int64         // bytes that stay free on the disk: below, lines are dropped; 0 = none

	// The gateway's own rotation, for those without logrotate.
	MaxSize  int64 // bytes of a file; 0 = no rotation
	Keep     int   // rotated files that are kept; 0 = all
	Compress Compression
}

const (
	// flushInterval is how often the writer looks for lines when no full segment wakes it. The promise is 200 ms from
	// arrival to file; a quarter of it leaves room for a slow write and a busy machine.
	flushInterval = 50 * time.Millisecond

	// QueueBytes bounds the lines in one appender's queue: at the rated 5,000 lines/s of 330 bytes on one socket it
	// bridges a stall of the disk of 10 s.
	QueueBytes = 16 << 20

	// QueueMemory is what a full queue takes of memory: 256 segments of 72 KiB, 18 MiB. Four of them, 72 MiB, fit into a
	// container of 256 MiB beside the table.
	QueueMemory = QueueBytes / segmentSize * segmentMemory

	// spareSegments is how many empty segments an appender keeps: at saturation a writer that keeps up on the whole has
	// some 20 of them at once, and what it does not have to give to the collector needs no collection.
	spareSegments = 32
)

// Journal is the state log. New makes it, Run writes it.
type Journal struct {
	appenders []*Appender
	sources   []source
	wake      chan struct{}
	file      *file

	out      []byte // lines of several appenders, merged, not yet written
	outLines uint64

	oldest atomic.Int64 // when the oldest line that the writer has found waiting was read, Unix ns; 0 = none when last looked
	behind atomic.Bool  // lines are being dropped for want of room

	mu       sync.Mutex
	counters Counters
}

// Counters are the journal's account since its start. Appended = Written + Dropped… + Queued at every moment at which
// nothing is being appended.
type Counters struct {
	Written      uint64        // lines in the file
	Unsynced     uint64        // of these, the ones that a power failure may take away: not synced, or in vain
	Bytes        uint64        // bytes in the file
	DroppedRing  uint64        // lines dropped for want of room, because the writer was behind
	DroppedError uint64        // lines dropped because the file did not take them
	DroppedSpace uint64        // lines dropped to keep MinFree
	Queued       uint64        // lines committed and neither written nor dropped
	Errors       [Ops]uint64   // failed operations
	Reopens      uint64        // times that the writer went on in another file
	Torn         uint64        // torn last lines cut off
	Lag          time.Duration // age of the oldest line that the writer has found waiting; 0 = none
}

// New opens the file and returns a journal that writes to it. The error is a *HeldError or a *ForeignError; any other
// trouble with the file may pass: the journal drops lines, and tries again until it works.
func New(cfg Config) (*Journal, error) {
	if cfg.Mode == 0 {
		cfg.Mode = 0o644
	}
	j := &Journal{wake: make(chan struct{}, 1), out: make([]byte, 0, segmentSize)}
	j.file = &file{cfg: cfg, rotated: make(chan struct{}, 1), fsync: (*os.File).Sync}
	if err := j.file.start(time.Now()); err != nil {
		return nil, err
	}
	for range cfg.Appenders {
		a := newAppender(QueueBytes/segmentSize, j.wake)
		j.appenders = append(j.appenders, a)
		j.sources = append(j.sources, source{appender: a, segment: a.current})
	}
	return j, nil
}

// Appender returns the i-th appender.
func (j *Journal) Appender(i int) *Appender { return j.appenders[i] }

// Close closes the file of a journal that is not going to run. Run does it itself.
func (j *Journal) Close() error { return j.file.close() }

// Reopen makes the writer go on in whatever file is at the path, and create it if none is. Safe from any goroutine.
func (j *Journal) Reopen() {
	j.file.reopen.Store(true)
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Trouble returns why lines are being dropped, or "" while they are not. Safe from any goroutine.
func (j *Journal) Trouble() string {
	if why := j.file.trouble.Load(); why != nil {
		return *why
	}
	if j.behind.Load() {
		return "the file takes the lines too slowly"
	}
	return ""
}

// stallLimit is how long the last writes may take after a stop, to a FIFO whose reader has stalled.
const stallLimit = time.Second

// Run writes until ctx is done, then what is still queued, syncs the file and closes it. The appenders must have
// ended by then. The error says that the end of the log is not safely on the disk.
func (j *Journal) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { j.file.hurry(time.Now().Add(stallLimit)) })
	defer stop()
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() { j.watch(ctx) })
	if j.file.cfg.MaxSize > 0 {
		helpers.Go(func() { j.file.keep(ctx) })
	}
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			j.drain()
			return j.file.close()
		case <-tick.C:
		case <-j.wake:
		}
		j.drain()
		j.file.tend(time.Now())
	}
}

// calm is how long no line must have been dropped for want of room until the writer counts as keeping up again. It keeps
// a writer that is behind now and then from saying so each time.
const calm = 10 * time.Second

// watch says when the writer falls behind and when it has caught up: it cannot do so itself while the file keeps it
// waiting.
func (j *Journal) watch(ctx context.Context) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	var seen, before uint64 // dropped at the last tick; before the writer fell behind
	var last time.Time      // tick that saw some dropped
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			dropped := j.droppedRing()
			switch {
			case dropped > seen:
				if last = now; !j.behind.Load() {
					before = seen
					j.file.cfg.Log.Error("state log: the file takes the lines too slowly; states are dropped from it", "file", j.file.cfg.Path)
					j.behind.Store(true) // whoever sees the trouble finds the message
				}
			case j.behind.Load() && now.Sub(last) >= calm:
				j.behind.Store(false)
				j.file.cfg.Log.Info("state log: the file takes all lines again", "file", j.file.cfg.Path, "lost", dropped-before)
			}
			seen = dropped
		}
	}
}

func (j *Journal) droppedRing() (lines uint64) {
	for _, a := range j.appenders {
		lines += a.droppedAll.Load()
	}
	return lines
}

// Counters returns the account now. Safe from any goroutine.
func (j *Journal) Counters() Counters {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.counters
	c.DroppedRing = j.droppedRing()
	for i, a := range j.appenders {
		c.Queued += a.appended.Load() - j.sources[i].settled
	}
	for op := range c.Errors {
		c.Errors[op] = j.file.errors[op].Load()
	}
	c.Unsynced = j.file.unsafe.Load()
	c.Reopens, c.Torn = j.file.reopens.Load(), j.file.torn.Load()
	if oldest := j.oldest.Load(); oldest != 0 && c.Queued > 0 {
		c.Lag = max(time.Since(time.Unix(0, oldest)), 0)
	}
	return c
}
