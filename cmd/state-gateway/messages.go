package main

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// outliveReader makes os.Stderr a copy of itself, to which a write fails with EPIPE when nobody is left who could read it.
// A write to descriptor 2 itself ends a Go program by SIGPIPE then, as one to standard output goes on to do.
func outliveReader() {
	if fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3); err == nil {
		os.Stderr = os.NewFile(uintptr(fd), os.Stderr.Name())
	}
}

// messageQueue is how many messages may wait for whoever reads standard error. The gateway says a few a second at most.
const messageQueue = 1024

// messageGrace is how long the end of the program waits for the last messages to be read.
const messageGrace = time.Second

// messageWriter writes messages to w in a goroutine of its own: when nobody reads them (a stalled log driver behind a full
// pipe, or one that has gone), they are dropped and counted, and nothing that says something waits. Safe for concurrent use.
type messageWriter struct {
	queue   chan []byte
	dropped atomic.Uint64 // messages that were not, or not wholly, written
	done    chan struct{}
}

func newMessageWriter(w io.Writer) *messageWriter {
	m := &messageWriter{queue: make(chan []byte, messageQueue), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for message := <-m.queue; message != nil; message = <-m.queue {
			if _, err := w.Write(message); err != nil {
				m.dropped.Add(1)
			}
		}
	}()
	return m
}

// Write takes one message. It never blocks and never fails.
func (m *messageWriter) Write(message []byte) (int, error) {
	select {
	case m.queue <- append([]byte(nil), message...):
	default:
		m.dropped.Add(1)
	}
	return len(message), nil
}

// flush waits until everything said so far is written, but not for long. What is said after it is not written.
func (m *messageWriter) flush() {
	timeout := time.After(messageGrace)
	select {
	case m.queue <- nil: // the end
	case <-timeout:
		return
	}
	select {
	case <-m.done:
	case <-timeout:
	}
}
