package replay

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
)

// ReadOptions say what to read of captures.
type ReadOptions struct {
	Port  uint16    // take the UDP datagrams to this port only; 0 = to any. State logs say nothing of ports and are read whole
	Stdin io.Reader // what is read for the file "-"; not closed. nil = there is no such file
}

// Capture reads captured datagrams from one file or several: a Source. Next and Close are for one goroutine; the figures
// may be asked for by any, at any time.
//
// A record, a packet of a capture or a line of a log, that is no datagram is skipped and counted with its reason, and a file
// that breaks off, because it was cut off or is corrupt, is counted and left: what came before stands, and the other
// files go on. At every moment between two calls of Next: Progress.Records = datagrams returned + all Skips.
//
// Memory is the same for an hour and for a month: one buffer of bufferSize for each file that is being read, and for a
// compressed one its decoder's window.
type Capture struct {
	inputs  []*input // all of them
	waiting []*input // not yet read, in the order of their first records
	active  []*input // being read, in the same order; each has its next datagram in head
	given   *input   // whose head was returned last

	size      int64 // in bytes, 0 if it is not known
	datagrams atomic.Uint64
	skips     [skipEnd]atomic.Uint64
	breaks    []error
}

// Open opens captures: state logs (JSONL), pcap and pcapng files, each plain or compressed with gzip or zstd; several
// members or frames one after another are read as one. What a file is, its first bytes say, not its name. "-" is standard
// input, which may be any of those.
//
// Several files are merged by time, in whatever order they are named: logrotate's engine_states.jsonl, .1 and .2.gz, the
// gateway's own rotated logs, tcpdump's -C and -G sets, or what several hosts captured at the same time. A file begins
// when its first record's time has come, so that a set of a thousand files is read one after the other. Within a file
// nothing is put into another order, and of equal times the file that begins earlier goes first. If the clock was
// set back between two files of a set, what they tell of the same seconds is merged too: replay them one by one then.
//
// A file that is larger at the end than when it was opened, because it is still being written, is read to its end. Errors
// are those of the system, and a file that is none of the formats or named twice.
func Open(files []string, options ReadOptions) (*Capture, error) {
	c := &Capture{}
	if err := c.open(files, options); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Capture) open(files []string, options ReadOptions) error {
	if len(files) == 0 {
		return errors.New("no file to read")
	}
	sights := newSights()
	known := true
	for _, name := range files {
		in, err := openInput(name, options, sights)
		if err != nil {
			return err
		}
		c.inputs = append(c.inputs, in)
		for _, other := range c.inputs[:len(c.inputs)-1] {
			if other.sameFile(in) {
				return fmt.Errorf("%s and %s are the same file", other.name, in.name)
			}
		}
		if err := in.begin(); err != nil {
			return err
		}
		if len(files) > 1 {
			if err := in.findFirst(); err != nil {
				return err
			}
		}
		c.size += in.size
		known = known && in.size >= 0
	}
	if !known {
		c.size = 0
	}
	c.waiting = slices.Clone(c.inputs)
	slices.SortStableFunc(c.waiting, func(a, b *input) int { return a.first.Compare(b.first) })
	return nil
}

// Next returns the next datagram: a Source's. Its error is always io.EOF; where files broke off, Breaks tells.
func (c *Capture) Next() (Datagram, error) {
	if c.given != nil {
		c.advance(c.given)
		c.given = nil
	}
	var next *input
	for {
		next = nil
		for _, in := range c.active {
			if next == nil || in.head.Time.Before(next.head.Time) {
				next = in
			}
		}
		if len(c.waiting) == 0 || next != nil && next.head.Time.Before(c.waiting[0].first) {
			break
		}
		in := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.active = append(c.active, in)
		if err := in.begin(); err != nil {
			in.records = ended{&damage{err.Error()}} // another file than it was
		}
		c.advance(in)
	}
	if next == nil {
		return Datagram{}, io.EOF
	}
	c.given = next
	c.datagrams.Add(1)
	return next.head, nil
}

// advance goes on to the file's next datagram, or ends it.
func (c *Capture) advance(in *input) {
	for {
		head, why, err := in.records.next()
		if err != io.EOF {
			in.count++
		}
		if err == nil && why == taken {
			in.head = head
			return
		}
		if err != nil && err != io.EOF {
			why, err = in.explain(err)
			c.breaks = append(c.breaks, err)
		}
		if why != taken {
			c.skips[why].Add(1)
		}
		if err != nil {
			in.close()
			c.active = slices.DeleteFunc(c.active, func(a *input) bool { return a == in })
			return
		}
	}
}

// Skips returns how many records were skipped so far, by reason; a reason that did not occur is left out.
//
//	link_type       packets of a link type that is not read
//	not_ip          neither IPv4 nor IPv6
//	not_udp         another protocol
//	fragment        fragments of a datagram, the first one and the later ones
//	other_port      to another UDP port than the one asked for
//	bad_length      a length field that cannot be
//	truncated       cut off by the snap length of the capture
//	second_sight    the same packet once more: as another interface saw it, or going out when it also came in
//	no_time         without a time between 1970 and 2262
//	no_interface    of an interface that the file does not describe
//	not_a_log_line  lines that are no JSON object with a timestamp and a state
//	line_too_long   longer than any datagram makes them
//	torn_line       the last line of a file, without its end
//	cut_off         files that end in the middle of a record; this and the next three count one for each file
//	damaged         files that make no sense from some record on
//	corrupt         files with corrupt compressed data
//	read_error      files that the system could not read
func (c *Capture) Skips() map[string]uint64 {
	skips := map[string]uint64{}
	for why := range skipEnd {
		if n := c.skips[why].Load(); n > 0 {
			skips[why.String()] = n
		}
	}
	return skips
}

// Progress is how far a capture has been read.
type Progress struct {
	Records uint64 // packets and lines: datagrams and skipped ones
	Bytes   int64  // of the files as they are, compressed or not; the buffers are ahead of the datagrams
	Size    int64  // of all files when they were opened; 0 if it is not known, as of a pipe
}

// Read returns how far the capture has been read.
func (c *Capture) Read() Progress {
	p := Progress{Records: c.datagrams.Load(), Size: c.size}
	for why := range skipEnd {
		p.Records += c.skips[why].Load()
	}
	for _, in := range c.inputs {
		p.Bytes += in.raw.consumed.Load()
	}
	return p
}

// Breaks returns, for each file that broke off before its end so far, an error that says which one, where and why. It
// belongs to the goroutine that calls Next.
func (c *Capture) Breaks() []error { return c.breaks }

// Close closes the files. There is no next datagram after it.
func (c *Capture) Close() error {
	c.waiting, c.active, c.given = nil, nil, nil
	var errs []error
	for _, in := range c.inputs {
		errs = append(errs, in.close())
	}
	return errors.Join(errs...)
}
