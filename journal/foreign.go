package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"syscall"
)

// maxLook bounds what is read of a line to see whose it is: a state log's have 2 KiB at most.
const maxLook = 16 << 10

// Every line of this gateway begins with lineStart, a number and stateStart.
const (
	lineStart  = `{"timestamp": `
	stateStart = `, "state": {`
)

// CheckFile returns a *ForeignError if there is a file at the path that New would refuse as no state log. It changes nothing,
// and has no opinion of what cannot be read or is another file to another process, as /dev/stdout.
func CheckFile(path string) error {
	if inherited(path) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO is not waited for
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if _, err := torn(f, info.Size(), path); err != nil {
		if foreign, ok := errors.AsType[*ForeignError](err); ok {
			return foreign
		}
	}
	return nil
}

// torn returns how many bytes of a torn last line a file has: the beginning of one, or what a power failure can make of it
// where the file's size was safe before its content, zeros. The error is a *ForeignError if it is no state log.
func torn(f io.ReaderAt, size int64, path string) (int, error) {
	head, tail := make([]byte, min(size, maxLook)), make([]byte, min(size, maxLook))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return 0, err
	}
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, err
	}
	first, _, whole := bytes.Cut(head, []byte("\n"))
	if whole && !isLine(first) || !whole && size >= maxLook {
		return 0, &ForeignError{Path: path}
	}
	rest := tail[bytes.LastIndexByte(tail, '\n')+1:]
	begun := bytes.TrimRight(rest, "\x00")
	if len(rest) == maxLook || !begins(begun) || !whole && size > 0 && len(begun) == 0 {
		return 0, &ForeignError{Path: path, End: whole}
	}
	return len(rest), nil
}

// isLine reports whether a line is a state log's, of this gateway or another one that writes the same: its spacing does not
// matter.
func isLine(line []byte) bool {
	var members, state map[string]json.RawMessage
	var timestamp float64
	return json.Unmarshal(line, &members) == nil && len(members) == 2 &&
		json.Unmarshal(members["timestamp"], &timestamp) == nil &&
		json.Unmarshal(members["state"], &state) == nil && state["engine_id"] != nil
}

// begins reports whether text is the beginning of a line of this gateway.
func begins(text []byte) bool {
	number, ok := bytes.CutPrefix(text, []byte(lineStart))
	if !ok {
		return bytes.HasPrefix([]byte(lineStart), text)
	}
	state := bytes.TrimLeft(number, "0123456789.")
	return bytes.HasPrefix(state, []byte(stateStart)) || bytes.HasPrefix([]byte(stateStart), state)
}
