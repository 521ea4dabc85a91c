package replay

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// FuzzRewrite multiplies and retimes any datagram: what is no state passes as it is, and of a state nothing changes but
// the two fields that are meant to, by the reading of a decoder of its own.
func FuzzRewrite(f *testing.F) {
	usual := string(stateAt("http://172.17.0.3:8000", 0, 0).Payload)
	f.Add([]byte(usual))
	f.Add([]byte("\n " + strings.ReplaceAll(usual, " ", "\t") + " "))
	f.Add([]byte(strings.Replace(usual, `"engine_id": "`, `"a": {"engine_id": "b"}, "a": [{"timestamp_ms": 1}], "\u0065ngine_id": "\"`, 1)))
	f.Add([]byte(strings.Replace(usual, `"timestamp_ms": 1755532567495`, `"timestamp_ms": -0`, 1)))
	f.Add([]byte(strings.Replace(usual, "8000", "8000#7", 1)))
	f.Add([]byte("[" + usual + "]"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		moved := epoch.Add(time.Hour)
		src := &memory{datagrams: []Datagram{{Time: epoch, Payload: payload}}}
		got := collect(t, Retime(Multiply(src, 2), func(time.Time) time.Time { return moved }, 1))

		decoder := decode.New()
		var want, have state.State
		reason := decoder.Decode(payload, &want)
		if reason == state.Accepted {
			want.EngineID, want.SchedulingMode = strings.Clone(want.EngineID), strings.Clone(want.SchedulingMode)
		}
		if reason != state.Accepted || len(want.EngineID)+2 > state.MaxEngineIDLength {
			if len(got) != 1 || reason != state.Accepted && !bytes.Equal(got[0].Payload, payload) {
				t.Fatalf("%q became %q", payload, payloads(got))
			}
			return
		}
		if len(got) != 2 {
			t.Fatalf("%q became %q", payload, payloads(got))
		}
		id, at := want.EngineID, want.TimestampMs
		for i, d := range got {
			want.EngineID = id + []string{"", "#2"}[i]
			if i == 0 && marked(id) {
				want.EngineID += "#1"
			}
			want.TimestampMs = min(at+time.Hour.Milliseconds()+int64(i)*100, state.MaxInteger)
			if reason := decoder.Decode(d.Payload, &have); reason != state.Accepted || have != want {
				t.Fatalf("%q became %q: %v, %+v, want %+v", payload, d.Payload, reason, have, want)
			}
		}
	})
}

// Usual datagrams are changed without an allocation; only further engines and damage need copies.
func TestChangesAllocations(t *testing.T) {
	d := stateAt("http://172.17.0.3:8000", 0, 0)
	src := endless{d}
	for name, src := range map[string]Source{
		"steady, window, retime": Retime(Between(Steady(src), 0, 0), func(time.Time) time.Time { return epoch }, 1),
		"no change of engines":   Multiply(src, 1),
	} {
		next := func() {
			if _, err := src.Next(); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			next()
		}
		if got := testing.AllocsPerRun(1000, next); got != 0 {
			t.Errorf("%s: %v allocations a datagram", name, got)
		}
	}
	var streams Streams
	if got := testing.AllocsPerRun(1000, func() { streams.Of(d) }); got != 0 {
		t.Errorf("streams: %v allocations", got)
	}
}

type endless struct{ d Datagram }

func (e endless) Next() (Datagram, error) { return e.d, nil }

func TestStreams(t *testing.T) {
	var of Streams
	a, b := of.Of(stateAt("a", 0, 0)), of.Of(stateAt("b", 0, 0))
	if a == b || a != of.Of(stateAt("a", time.Hour, time.Second)) {
		t.Error("states of one engine, or of two")
	}
	from := func(address string) Datagram {
		d := stateAt("a", 0, 0)
		d.Source = addressPort(address)
		return d
	}
	if of.Of(from("10.0.0.1:1")) != a {
		t.Error("an engine's number depends on its address")
	}
	none := func(address, payload string) uint64 {
		return of.Of(Datagram{Source: addressPort(address), Payload: []byte(payload)})
	}
	x := none("10.0.0.1:1", "x")
	if x != none("10.0.0.1:1", "y") || x == none("10.0.0.1:2", "x") || x == none("10.0.0.2:1", "x") || x == none("[fe80::1]:1", "x") || x == a {
		t.Error("what is no state")
	}
}
