package replay

import (
	"fmt"
	"testing"
	"time"
)

const anyState = `{"timestamp_ms"  :  %d  ,"engine_id":"timestamp_ms","latency_pred_ms":1,"scheduling_mode":"m","pending_tokens_total":0,"kv_cache_free_blocks":0,"kv_cache_total_blocks":0,"engine_capacity":1,"x":{"timestamp_ms":5}}`

func TestRetime(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	now := epoch.Add(1000 * time.Hour)
	type stamp struct{ at, timestamp time.Duration } // since the epoch, captured; and since now, as it becomes
	for _, test := range []struct {
		name     string
		speed    float64
		from, to []stamp
	}{
		{"1x", 1, []stamp{{0, -3 * ms}, {204 * ms, 200 * ms}, {408 * ms, 408 * ms}, {410 * ms, 300 * ms}, {420 * ms, 300 * ms}},
			[]stamp{{0, -3 * ms}, {204 * ms, 200 * ms}, {408 * ms, 408 * ms}, {410 * ms, 300 * ms}, {420 * ms, 300 * ms}}},
		{"max", 0, []stamp{{0, 0}, {10 * s, 10*s - 7*ms}}, []stamp{{0, 0}, {10 * s, 10*s - 7*ms}}},
		{"10x", 10, []stamp{{0, 0}, {10 * s, 10*s - 10*ms}, {20 * s, 20 * s}, {20 * s, 20*s + ms}, {20 * s, 20*s - ms}},
			[]stamp{{0, 0}, {10 * s, s - ms}, {20 * s, 2 * s}, {20 * s, 2 * s}, {20 * s, 2*s - ms}}},
		{"half", 0.5, []stamp{{0, -ms}, {s, s}}, []stamp{{0, -2 * ms}, {s, 2 * s}}},
		{"a clock of its own", 1, []stamp{{0, -5 * time.Hour}, {s, s - 5*time.Hour}}, []stamp{{0, -5 * time.Hour}, {s, s - 5*time.Hour}}},
		{"not below 0", 1, []stamp{{0, -epoch.Sub(time.UnixMilli(5)) - 2000*time.Hour}}, nil},
	} {
		var in []Datagram
		for _, from := range test.from {
			in = append(in, Datagram{Time: epoch.Add(from.at), Payload: fmt.Appendf(nil, anyState, max(0, epoch.Add(from.timestamp).UnixMilli()))})
		}
		var want []string
		for _, to := range test.to {
			want = append(want, fmt.Sprintf(anyState, now.Add(to.timestamp).UnixMilli()))
		}
		if want == nil {
			want = []string{fmt.Sprintf(anyState, now.Sub(epoch).Milliseconds())}
		}
		asked := 0
		got := collect(t, Retime(&memory{datagrams: in}, func(first time.Time) time.Time {
			if asked++; !first.Equal(epoch) {
				t.Errorf("%s: first %v", test.name, first)
			}
			return now.Add(999 * time.Microsecond) // of the millisecond
		}, test.speed))
		equal(t, test.name, payloads(got), want)
		if asked != 1 {
			t.Errorf("%s: asked %d times for now", test.name, asked)
		}
	}
}

func TestRetimeLimits(t *testing.T) {
	in := &memory{datagrams: []Datagram{
		{Time: epoch, Payload: []byte("no state")},
		{Time: epoch, Payload: []byte("")},
		{Time: epoch, Payload: fmt.Appendf(nil, anyState, 1<<53)},
		{Time: epoch, Payload: fmt.Appendf(nil, anyState, 1_755_532_567_495)},
	}}
	got := collect(t, Retime(in, func(time.Time) time.Time { return epoch.Add(time.Hour) }, 1))
	equal(t, "limits", payloads(got), []string{"no state", "", fmt.Sprintf(anyState, 1<<53), fmt.Sprintf(anyState, 1_755_532_567_495+3_600_000)})
	past := &memory{datagrams: []Datagram{{Time: epoch, Payload: fmt.Appendf(nil, anyState, 7)}}}
	got = collect(t, Retime(past, func(time.Time) time.Time { return time.UnixMilli(0) }, 1))
	equal(t, "the past", payloads(got), []string{fmt.Sprintf(anyState, 0)})
}

// Rounds and further engines have the timestamps that they would have had when they are sent.
func TestRetimeRoundsAndEngines(t *testing.T) {
	const ms = time.Millisecond
	capture := []Datagram{stateAt("a", 0, ms), stateAt("a", 200*ms, ms), stateAt("a", 400*ms, ms)}
	loop := Loop(2, func() (Source, error) { return &memory{datagrams: capture}, nil })
	now := epoch.Add(time.Hour)
	var f fields
	for _, d := range collect(t, Retime(Multiply(loop, 2), func(time.Time) time.Time { return now }, 1)) {
		if !f.isState(d.Payload) || f.state.TimestampMs != d.Time.Add(time.Hour-ms).UnixMilli() {
			t.Errorf("%s at %v", d.Payload, d.Time)
		}
	}
}
