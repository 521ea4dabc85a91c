package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// bufferSize holds the longest record of each format, which is so read without another copy: 256 KiB of packet, libpcap's
// own limit, with its headers.
const bufferSize = 320 << 10

// maxWindow is the most memory that a zstd file may want for its window: what the zstd program itself allows without
// being asked.
const maxWindow = 128 << 20

// detectSize is how much of a file is looked at to see whether it is text.
const detectSize = 512

// records are a file's records in its order.
type records interface {
	// next returns the next record: a datagram, or why it is none; the time is set, if there is one, in either case. The payload
	// is the reader's until its next next. At the end the error is io.EOF, and any other one ends the file too.
	next() (Datagram, skip, error)
}

// ended are the records of a file that cannot be read: none.
type ended struct{ err error }

func (e ended) next() (Datagram, skip, error) { return Datagram{}, taken, e.err }

// input is one file of a capture.
type input struct {
	name    string
	options ReadOptions
	sights  *sights // the capture's
	raw     *countingReader
	file    *os.File    // nil for standard input
	info    os.FileInfo // nil if it is not known
	size    int64       // in bytes, -1 if it is not known
	decoder io.Closer   // the zstd decoder, nil without one

	records records   // nil until begun
	first   time.Time // of the first record; zero if there is none or nobody has looked
	head    Datagram  // the next one, once the file is being read
	count   uint64    // records read
}

func openInput(name string, options ReadOptions, sights *sights) (*input, error) {
	in := &input{name: name, options: options, sights: sights, size: -1}
	if name == "-" {
		if options.Stdin == nil {
			return nil, errors.New("standard input cannot be read here")
		}
		in.name = "standard input"
		in.raw = &countingReader{from: options.Stdin}
		if f, ok := options.Stdin.(*os.File); ok {
			in.info, _ = f.Stat()
		}
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		in.file = f
		in.raw = &countingReader{from: f}
		if in.info, err = f.Stat(); err != nil {
			f.Close()
			return nil, err
		}
		if in.info.IsDir() {
			f.Close()
			return nil, fmt.Errorf("%s is a directory", name)
		}
	}
	if in.info != nil && in.info.Mode().IsRegular() {
		in.size = in.info.Size()
	}
	return in, nil
}

// sameFile reports whether two inputs are one file, which would be read twice or by two in turn.
func (in *input) sameFile(other *input) bool {
	if in.info == nil || other.info == nil {
		return in.file == nil && other.file == nil // standard input
	}
	return os.SameFile(in.info, other.info)
}

// begin looks at the first bytes and gets ready to read, if it has not done so yet. The error says that it is none of the
// formats; any other trouble is left to the first next.
func (in *input) begin() error {
	if in.records != nil {
		return nil
	}
	from := bufio.NewReaderSize(in.raw, bufferSize)
	magic, err := from.Peek(4)
	if len(magic) == 4 {
		if from, err = in.decompress(from, [4]byte(magic)); err == nil {
			magic, err = from.Peek(4)
		}
	}
	if err != nil && err != io.EOF {
		in.records = ended{err}
		return nil
	}
	packets := packetReader{port: in.options.Port, sights: in.sights}
	switch {
	case len(magic) == 4 && binary.LittleEndian.Uint32(magic) == blockSection:
		in.records = newNgReader(from, packets)
	case len(magic) == 4 && isPcap([4]byte(magic)):
		if in.records, err = newPcapReader(from, packets); err != nil {
			in.records = ended{err}
		}
	case isText(from):
		in.records = newLogReader(from)
	default:
		return fmt.Errorf("%s is neither a state log nor a pcap or pcapng file, plain or compressed with gzip or zstd", in.name)
	}
	return nil
}

// decompress returns what is compressed in from, or from itself.
func (in *input) decompress(from *bufio.Reader, magic [4]byte) (*bufio.Reader, error) {
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b:
		decoder, err := gzip.NewReader(from)
		if err != nil {
			return nil, inside(err)
		}
		return bufio.NewReaderSize(decoder, bufferSize), nil
	case magic == [4]byte{0x28, 0xb5, 0x2f, 0xfd} || magic[0]&0xf0 == 0x50 && [3]byte(magic[1:]) == [3]byte{0x2a, 0x4d, 0x18}: // or a skippable frame first
		decoder, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		in.decoder = decoder.IOReadCloser()
		return bufio.NewReaderSize(decoder, bufferSize), nil
	}
	return from, nil
}

// isText reports whether a file may be a log, though a damaged one: it begins without the control characters that are in any
// binary format. Zeros may be there, where a disk lost its power.
func isText(from *bufio.Reader) bool {
	start, _ := from.Peek(min(detectSize, from.Buffered())) // no more: the rest of a live one is yet to come
	for _, c := range start {
		if c < ' ' && c != 0 && (c < '\t' || c > '\r') {
			return false
		}
	}
	return true
}

// findFirst sets first, and rewinds the file. One that cannot be rewound stays as it is, and is read from the start.
func (in *input) findFirst() error {
	if in.file == nil || in.size < 0 {
		return nil
	}
	for range 1000 { // records without a time: more of them, and it is read from the start as well
		head, _, err := in.records.next()
		if err != nil {
			break
		}
		if !head.Time.IsZero() {
			in.first = head.Time
			break
		}
	}
	in.release()
	in.raw.consumed.Store(0)
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	return nil
}

// explain returns why the file breaks off here with err: its reason as a skip, and in words.
func (in *input) explain(err error) (why skip, text error) {
	var damaged *damage
	switch {
	case in.raw.err != nil:
		why = skipReadError
	case errors.Is(err, io.ErrUnexpectedEOF):
		why, err = skipCutOff, errors.New("cut off in the middle of a record")
	case errors.As(err, &damaged):
		why = skipDamaged
	default:
		why = skipCorrupt
	}
	return why, fmt.Errorf("%s breaks off at its record %d: %w", in.name, in.count, err)
}

// release gives back what begin took.
func (in *input) release() {
	if in.decoder != nil {
		in.decoder.Close()
	}
	in.decoder, in.records, in.head = nil, nil, Datagram{}
}

func (in *input) close() error {
	in.release()
	if in.file == nil {
		return nil
	}
	err := in.file.Close()
	in.file = nil
	return err
}

// countingReader counts what is read through it, and remembers why it could not.
type countingReader struct {
	from     io.Reader
	consumed atomic.Int64
	err      error // other than the end
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.consumed.Add(int64(n))
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
