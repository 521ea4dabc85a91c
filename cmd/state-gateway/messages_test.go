package main

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestMessagesAreWrittenInOrder(t *testing.T) {
	var out, want bytes.Buffer
	m := newMessageWriter(&out)
	message := make([]byte, 0, 20)
	for i := range 500 {
		message = fmt.Appendf(message[:0], "message %d\n", i) // the caller's buffer is used again
		want.Write(message)
		m.Write(message)
	}
	m.flush()
	if !bytes.Equal(out.Bytes(), want.Bytes()) || m.dropped.Load() != 0 {
		t.Errorf("%d dropped; written:\n%s", m.dropped.Load(), out.Bytes())
	}
}

// stalled is a writer whose reader has stopped reading.
type stalled struct{ end chan struct{} }

func (s stalled) Write([]byte) (int, error) {
	<-s.end
	return 0, os.ErrClosed
}

// Whoever says something does not wait for a reader that has stalled, nor does the end of the program for long.
func TestStalledReaderOfMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stalled{make(chan struct{})}
		m := newMessageWriter(s)
		defer func() {
			close(s.end)
			m.flush() // the writer's goroutine ends
		}()
		begin := time.Now()
		for range messageQueue + 100 {
			m.Write([]byte("message"))
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("Write waited %v", waited)
		}
		if n := m.dropped.Load(); n < 99 || n > 100 { // one may be in the hands of the writer
			t.Errorf("%d dropped", n)
		}
		if m.flush(); time.Since(begin) > messageGrace {
			t.Errorf("flush waited %v", time.Since(begin))
		}
	})
}
