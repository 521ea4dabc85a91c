package replay

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// epoch is when the captures of these tests begin.
var epoch = time.UnixMilli(1_755_532_567_495)

// memory is a Source that gives every datagram in the same buffer, as readers of files may.
type memory struct {
	datagrams []Datagram
	err       error // instead of io.EOF
	buf       []byte
	next      int
}

func (m *memory) Next() (Datagram, error) {
	for i := range m.buf {
		m.buf[i] = '?'
	}
	if m.next == len(m.datagrams) {
		if m.err != nil {
			return Datagram{}, m.err
		}
		return Datagram{}, io.EOF
	}
	d := m.datagrams[m.next]
	m.next++
	m.buf = append(m.buf[:0], d.Payload...)
	d.Payload = m.buf
	return d, nil
}

// after returns a capture of a datagram at each time after the epoch, with its number as its payload.
func after(times ...time.Duration) *memory {
	m := &memory{}
	for i, at := range times {
		m.datagrams = append(m.datagrams, Datagram{Time: epoch.Add(at), Payload: fmt.Append(nil, i)})
	}
	return m
}

// stateAt returns a state of an engine, captured at a time after the epoch, whose timestamp is delay before that.
func stateAt(id string, at, delay time.Duration) Datagram {
	s := state.State{EngineID: id, TimestampMs: epoch.Add(at - delay).UnixMilli(), LatencyPredMs: at.Seconds(), SchedulingMode: "balanced",
		PendingTokensTotal: int64(at / time.Millisecond), KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1, EngineCapacity: 59768.2749641796}
	return Datagram{Time: epoch.Add(at), Payload: s.AppendJSON(nil)}
}

// collect reads a stream to its end, which must be io.EOF.
func collect(t *testing.T, src Source) (all []Datagram) {
	t.Helper()
	for {
		d, err := src.Next()
		if err == io.EOF {
			if _, err := src.Next(); err != io.EOF {
				t.Errorf("after the end: %v", err)
			}
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		d.Payload = bytes.Clone(d.Payload)
		all = append(all, d)
	}
}

// offsets returns the times after the epoch.
func offsets(all []Datagram) (times []time.Duration) {
	for _, d := range all {
		times = append(times, d.Time.Sub(epoch))
	}
	return times
}

// payloads returns them as texts.
func payloads(all []Datagram) (texts []string) {
	for _, d := range all {
		texts = append(texts, string(d.Payload))
	}
	return texts
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func addressPort(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
