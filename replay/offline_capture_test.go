package replay

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

// captured are datagrams in the order of their capture.
type captured []Datagram

// source returns them one by one, each in the same buffer as the one before it.
func (c captured) source() Source { return &capturedSource{left: c} }

type capturedSource struct {
	left   captured
	buffer []byte
}

func (s *capturedSource) Next() (Datagram, error) {
	clear(s.buffer) // the payload of before was only lent
	if len(s.left) == 0 {
		return Datagram{}, io.EOF
	}
	d := s.left[0]
	s.left = s.left[1:]
	s.buffer = append(s.buffer[:0], d.Payload...)
	d.Payload = s.buffer
	return d, nil
}

// incidentBegin is when the captures of these tests begin.
var incidentBegin = time.UnixMicro(1_755_532_567_495_017).UTC()

// agents are emulated engines as a gateway's port hears them, each from a socket of its own. What they send takes 0.3 to
// 10.8 ms, as in the recorded stream, so that some datagrams overtake others.
func agents(until time.Duration, emulators ...*traffic.Emulator) captured {
	var c captured
	random := rand.New(rand.NewPCG(6, 1))
	for i, e := range emulators {
		for at, s, copies := e.Next(); at < until; at, s, copies = e.Next() {
			payload := s.AppendJSON(nil)
			for range copies {
				delay := 300*time.Microsecond + time.Duration(random.IntN(10_500))*time.Microsecond
				c = append(c, captured{datagramFrom(i, at+delay, payload)}...)
			}
		}
	}
	c.sort()
	return c
}

// datagramFrom is sender i's, captured at a time since incidentBegin, to the microsecond.
func datagramFrom(i int, at time.Duration, payload []byte) Datagram {
	return Datagram{
		Time:        incidentBegin.Add(at.Truncate(time.Microsecond)),
		Payload:     payload,
		Source:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), uint16(40000+i)),
		Destination: netip.MustParseAddrPort("10.0.0.100:9999"),
	}
}

func (c captured) sort() {
	slices.SortStableFunc(c, func(a, b Datagram) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Source.Port(), b.Source.Port()))
	})
}

func emulated(name string, seed uint64, workload traffic.Workload) *traffic.Emulator {
	return traffic.NewEmulator(traffic.EmulatorConfig{EngineID: "http://10.0.0.1:" + name, Seed: seed, Epoch: incidentBegin,
		Start: time.Duration(seed) * 37 * time.Millisecond, Interval: 500 * time.Millisecond, Workload: workload})
}

// incident is half a minute of everything that a capture can hold. It needs incidentSettings.
func incident() captured {
	const s = time.Second
	steady, rests, beats := emulated("steady", 1, traffic.Steady), emulated("rests", 2, traffic.Steady), emulated("beats", 3, traffic.NoWork)
	rests.Rest(8*s, 9*s)
	back, forth := emulated("clock-back", 4, traffic.Steady), emulated("clock-forth", 5, traffic.Steady)
	back.StepClock(12*s, -90*s)
	forth.StepClock(12*s, time.Hour)
	restarts, gone, returns := emulated("restarts", 6, traffic.Steady), emulated("gone", 7, traffic.Steady), emulated("returns", 8, traffic.Steady)
	restarts.Restart(10*s, 3500*time.Millisecond)
	gone.Restart(9*s, time.Hour)
	returns.Restart(9*s, 15*s)
	copies := traffic.NewEmulator(traffic.EmulatorConfig{EngineID: "copies", Seed: 9, Epoch: incidentBegin, Interval: 2 * s, Copies: traffic.BroadcastCopies})
	c := agents(30*s, steady, rests, beats, back, forth, restarts, gone, returns, copies)

	// Two senders of one id by turns.
	for i := range 6 {
		at := 20*s + time.Duration(i)*300*time.Millisecond
		shared := state.State{EngineID: "shared", TimestampMs: incidentBegin.Add(at).UnixMilli(), SchedulingMode: "mode of our own", EngineCapacity: 1e-9}
		c = append(c, datagramFrom(20+i%2, at, shared.AppendJSON(nil)))
	}
	// Valid in other ways: another order, white space, escapes, further fields, exponents.
	odd := `{"kv_cache_total_blocks": 100, "timestamp_ms": 7, "later": {"field": [1, null]}, "engine_id": "\u006fdd \"caf\u00e9\"",` +
		"\t" + `"latency_pred_ms": 3e-05, "scheduling_mode": "balanced", "pending_tokens_total": 0, "kv_cache_free_blocks": 9, "engine_capacity": 1E3}` + "\n"
	c = append(c, datagramFrom(30, 5*s, []byte(odd)))
	// One for each reason, and again later.
	valid := `{"engine_id":"invalid","timestamp_ms":1,"latency_pred_ms":1.5,"scheduling_mode":"balanced","pending_tokens_total":1,"kv_cache_free_blocks":1,"kv_cache_total_blocks":1,"engine_capacity":1}`
	with := func(old, new string) string { return strings.Replace(valid, old, new, 1) }
	for i, invalid := range []string{
		"",
		valid + strings.Repeat(" ", 1024),
		valid[:100],
		"\x00\xff garbage",
		with(`{`, `{"engine_id":"x",`),
		with(`"engine_capacity"`, `"engine_capacities"`),
		with(`"timestamp_ms":1`, `"timestamp_ms":1.0`),
		with(`:1.5`, `:1e999`),
		with(`"invalid"`, `"one engine too many"`),
	} {
		for _, at := range []time.Duration{7 * s, 19 * s} {
			c = append(c, datagramFrom(31, at+time.Duration(i)*time.Millisecond, []byte(invalid)))
		}
	}
	c.sort()
	return c
}

// quiet is half a minute of states that are applied as they come, but for some that overtake others.
func quiet() captured {
	rests, restarts := emulated("rests", 1, traffic.Steady), emulated("restarts", 2, traffic.Steady)
	rests.Rest(5*time.Second, 10*time.Second)
	restarts.Restart(10*time.Second, 3*time.Second)
	return agents(30*time.Second, rests, restarts, emulated("steady", 3, traffic.Steady), emulated("beats", 4, traffic.NoWork))
}

// incidentSettings are such that the incident has the consequences that it should.
func incidentSettings(log io.Writer) OfflineSettings {
	s := DefaultOfflineSettings()
	s.RemoveAfter = 10 * time.Second
	s.MaxDatagram = 1024
	s.MaxEngines = 9
	s.Log = log
	return s
}

// addsUp holds counters to the gateway's two sums.
func addsUp(t *testing.T, s Statistics) {
	t.Helper()
	var rejected uint64
	for _, n := range s.Rejected {
		rejected += n
	}
	if s.Received != s.Applied+s.Duplicate+s.OutOfOrder+rejected || s.Log.Enabled && s.Applied != s.Log.Written {
		t.Errorf("the counters do not add up: %+v", s)
	}
}

// result is all that an offline run can be asked for, as text.
func result(o *Offline) string {
	var b strings.Builder
	for _, e := range o.Engines() {
		fmt.Fprintf(&b, "%v %+v\n", e.Status, e.Held)
		records, _ := o.History(e.EngineID, 1000)
		fmt.Fprintf(&b, "  %v\n", records)
	}
	fmt.Fprintf(&b, "%+v\n", o.Statistics())
	return b.String()
}
