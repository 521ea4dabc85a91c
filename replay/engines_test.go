package replay

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMultiply(t *testing.T) {
	const ms = time.Millisecond
	a0, b, a1 := stateAt("http://a:1", 0, 0), stateAt("http://b:1", 30*ms, 0), stateAt("http://a:1", 204*ms, 0)
	none := Datagram{Time: epoch.Add(60 * ms), Payload: []byte("no state")}
	m := Multiply(&memory{datagrams: []Datagram{a0, b, none, a1}}, 4)
	all := collect(t, m)
	of := func(d Datagram, mark string) string {
		return strings.Replace(string(d.Payload), `:1"`, ":1"+mark+`"`, 1)
	}
	equal(t, "times", offsets(all), []time.Duration{
		0, 30 * ms, 50 * ms, 60 * ms, 80 * ms, 100 * ms, 130 * ms, 150 * ms, 180 * ms, 204 * ms, 254 * ms, 304 * ms, 354 * ms})
	equal(t, "payloads", payloads(all), []string{
		of(a0, ""), of(b, ""), of(a0, "#2"), "no state", of(b, "#2"), of(a0, "#3"), of(b, "#3"), of(a0, "#4"), of(b, "#4"),
		of(a1, ""), of(a1, "#2"), of(a1, "#3"), of(a1, "#4")})
	if m.Added() != 9 || m.Single() != 1 {
		t.Errorf("%d added, %d passed once", m.Added(), m.Single())
	}
	for _, d := range all {
		if s := d.Time.Sub(epoch) - d.shift; s != 0 && s != 30*ms && s != 60*ms && s != 204*ms {
			t.Errorf("%s is shifted by %v", d.Payload, d.shift)
		}
	}
}

func TestMultiplyIDs(t *testing.T) {
	long := strings.Repeat("x", 254)
	for _, test := range []struct {
		id   string // as it is written
		want []string
	}{
		{`a`, []string{`a`, `a#2`, `a#3`}},
		{`a#2`, []string{`a#2#1`, `a#2#2`, `a#2#3`}}, // not that of a's second
		{`a#`, []string{`a#`, `a##2`, `a##3`}},
		{`#3`, []string{`#3#1`, `#3#2`, `#3#3`}},
		{`a#2b`, []string{`a#2b`, `a#2b#2`, `a#2b#3`}},
		{`a\u0023\u0037`, []string{`a\u0023\u0037#1`, `a\u0023\u0037#2`, `a\u0023\u0037#3`}},
		{`quoted \"`, []string{`quoted \"`, `quoted \"#2`, `quoted \"#3`}},
		{`é`, []string{`é`, `é#2`, `é#3`}},
		{long, []string{long, long + "#2", long + "#3"}},
		{long + "x", []string{long + "x"}}, // no room
	} {
		const text = `{"x":{"engine_id":"y"}, "engine_id" : "%s" ,"timestamp_ms":1,"latency_pred_ms":1,"scheduling_mode":"m","pending_tokens_total":0,"kv_cache_free_blocks":0,"kv_cache_total_blocks":0,"engine_capacity":1}`
		m := Multiply(&memory{datagrams: []Datagram{{Time: epoch, Payload: fmt.Appendf(nil, text, test.id)}}}, 3)
		var want []string
		for _, id := range test.want {
			want = append(want, fmt.Sprintf(text, id))
		}
		equal(t, test.id, payloads(collect(t, m)), want)
	}
}

// Whatever is captured, no two engines get one id, and each engine's own order and gaps stay.
func TestMultipliedEnginesStayApart(t *testing.T) {
	ids := []string{"a", "a#2", "a#2#1", "a#1", "b", "a#22", "a#", "#"}
	var capture []Datagram
	for i := range 50 {
		for k, id := range ids {
			capture = append(capture, stateAt(id, time.Duration(i*100+k)*time.Millisecond, 0))
		}
	}
	const n = 23
	streams := map[string][]Datagram{}
	var f fields
	last := epoch
	for _, d := range collect(t, Multiply(&memory{datagrams: capture}, n)) {
		if d.Time.Before(last) {
			t.Fatalf("back from %v to %v", last, d.Time)
		}
		last = d.Time
		if !f.isState(d.Payload) {
			t.Fatalf("no state: %s", d.Payload)
		}
		id := strings.Clone(f.state.EngineID)
		streams[id] = append(streams[id], d)
	}
	if len(streams) != n*len(ids) {
		t.Errorf("%d engines, want %d", len(streams), n*len(ids))
	}
	phases := map[time.Duration]int{}
	for id, stream := range streams {
		phases[stream[0].shift]++
		if len(stream) != 50 || !slices.IsSortedFunc(stream, func(a, b Datagram) int { return strings.Compare(timestamp(a), timestamp(b)) }) {
			t.Errorf("%s has %d datagrams: %s", id, len(stream), payloads(stream))
		}
		for i, d := range stream {
			if d.shift != stream[0].shift || d.Time.Sub(stream[0].Time) != time.Duration(i)*100*time.Millisecond {
				t.Errorf("%s: %d at %v, shifted by %v", id, i, d.Time, d.shift)
			}
		}
	}
	if len(phases) != n {
		t.Errorf("%d phases, want %d: %v", len(phases), n, phases)
	}
}

// What is held of engines to come does not grow with their number times what was captured at one moment.
func TestMultiplyHoldsEachOnce(t *testing.T) {
	const datagrams, n = 300, 100
	var capture []Datagram
	for i := range 2 * datagrams { // two bursts
		capture = append(capture, stateAt(fmt.Sprintf("e%d", i%datagrams), time.Duration(i/datagrams)*time.Second, 0))
	}
	m := Multiply(&memory{datagrams: capture}, n)
	var got, want []string
	for _, begin := range []int{0, datagrams} {
		for k := 1; k <= n; k++ {
			for i := range datagrams {
				mark := `",` // and behind it the timestamp
				if k > 1 {
					mark = fmt.Sprintf(`#%d",`, k)
				}
				want = append(want, strings.Replace(string(capture[begin+i].Payload), `",`, mark, 1))
			}
		}
	}
	for range want {
		d, err := m.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(d.Payload))
		if len(m.waiting) >= n || len(m.recent) > datagrams || len(m.waiting)+m.idle != n-1 {
			t.Fatalf("%d wait, %d are idle, %d datagrams are held", len(m.waiting), m.idle, len(m.recent))
		}
	}
	if _, err := m.Next(); err != io.EOF || len(m.recent) > 0 || !slices.Equal(got, want) {
		t.Errorf("%v, %d held, or another order", err, len(m.recent))
	}
}

// timestamp returns the digits of a usual state's timestamp_ms.
func timestamp(d Datagram) string {
	_, rest, _ := strings.Cut(string(d.Payload), `"timestamp_ms": `)
	return rest[:13]
}
