package journal

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"time"
)

// BenchmarkAppend measures a batch of 64 lines from Begin to Commit and its way through the writer to a device that
// takes everything; one operation is one line.
func BenchmarkAppend(b *testing.B) {
	s, text := numbered(1, 1755532567495)
	for name, verbatim := range map[string][]byte{"verbatim": text, "rendered": nil} {
		b.Run(name, func(b *testing.B) {
			j, err := New(Config{Path: os.DevNull, Appenders: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
			if err != nil {
				b.Fatal(err)
			}
			a := j.Appender(0)
			at := time.Now()
			a.Begin(at.UnixNano())
			b.ReportAllocs()
			b.SetBytes(int64(maxPrefix + len(text) + 2))
			lines := 0
			for b.Loop() {
				a.Append(at.UnixNano()+int64(lines)*1000, &s, verbatim)
				if lines++; lines == 64 {
					lines = 0
					a.Commit()
					j.drain()
					at = at.Add(time.Millisecond)
					a.Begin(at.UnixNano())
				}
			}
			a.Commit()
			j.drain()
			if c := j.Counters(); c.DroppedRing+c.DroppedError+c.Queued > 0 {
				b.Fatalf("%+v", c)
			}
		})
	}
}
