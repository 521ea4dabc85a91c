package journal

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"
)

// A Writer writes what a Journal writes, whatever the sizes of the batches and however often it is flushed.
func TestWriterWritesTheSame(t *testing.T) {
	const states = 3000 // some 15 segments
	for _, batch := range []int{1, 7, 300} {
		h := newHarness(t, 1)
		var got bytes.Buffer
		w := NewWriter(&got)
		for n := 0; n < states; n += batch {
			at := arrival.Add(time.Duration(n) * time.Millisecond)
			h.put(0, at, n, min(n+batch, states))
			w.Appender().Begin(at.UnixNano())
			for i := n; i < min(n+batch, states); i++ {
				s, text := numbered(0, i)
				w.Appender().Append(at.UnixNano(), &s, text)
			}
			w.Appender().Commit()
			if n%5 == 0 {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		h.drain()
		want, err := os.ReadFile(h.path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("batches of %d: %d bytes, not the journal's %d", batch, got.Len(), len(want))
		}
		if c, want := w.Counters(), (Counters{Written: states, Bytes: uint64(got.Len())}); c != want {
			t.Errorf("batches of %d: %+v, want %+v", batch, c, want)
		}
	}
}

// limitedWriter takes so many bytes and then no more.
type limitedWriter struct{ left int }

var errFull = errors.New("full")

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		n := w.left
		w.left = 0
		return n, errFull
	}
	w.left -= len(p)
	return len(p), nil
}

// The first error stays; lines that were written whole are counted, all others wait for ever.
func TestWriterKeepsItsError(t *testing.T) {
	size := lineSize(t, 1)
	w := NewWriter(&limitedWriter{left: 25*size + size/2})
	a := w.Appender()
	for n := range 40 {
		a.Begin(arrival.UnixNano())
		s, text := numbered(0, 1)
		a.Append(arrival.UnixNano(), &s, text)
		a.Commit()
		if n == 9 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if err := w.Flush(); err != errFull {
			t.Errorf("error %v", err)
		}
	}
	if c, want := w.Counters(), (Counters{Written: 25, Bytes: uint64(25*size + size/2), Queued: 15}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}
