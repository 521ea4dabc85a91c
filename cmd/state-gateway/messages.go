package main

import (
	"io"
	"sync/atomic"
	"time"
)

// messageQueue is how many messages may wait for whoever reads standard error. The gateway says a few a second at most.
const messageQueue = 1024

// messageGrace is how long the end of the program waits for the last messages to be read.
const messageGrace = time.Second

// messageWriter writes messages to w in a goroutine of its own: when nobody reads them (a stalled log driver behind a full
// pipe), they are dropped and counted, and nothing that says something waits. Safe for concurrent use.
type messageWriter struct {
	queue   chan []byte
	dropped atomic.Uint64
	done    chan struct{}
}

func newMessageWriter(w io.Writer) *messageWriter {
	m := &messageWriter{queue: make(chan []byte, messageQueue), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for message := <-m.queue; message != nil; message = <-m.queue {
			w.Write(message)
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
