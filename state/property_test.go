package state_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

// datagram is one that was delivered: what of which engine, when and from where.
type datagram struct {
	state.State
	source netip.AddrPort
	mono   time.Duration
	place  int // in the engine's stream as it was sent
}

// network says what may happen to an engine's datagrams, and to the engine.
type network struct {
	loss         bool
	copies       int // at most
	displacement int // places, at most
	steps        bool
	pauses       bool
	restarts     bool
	conflicts    bool
}

// stream draws what is delivered of one engine's life, in the order of arrival.
func stream(t *rapid.T, id string, n network) (delivered []datagram) {
	number := func(least, most int, what string) int { return rapid.IntRange(least, most).Draw(t, what) }
	rarely := func(oneIn int, what string) bool { return number(0, oneIn-1, what) == oneIn-1 }
	var (
		sent   []state.State
		moment []time.Duration
		port   []uint16
		now    = time.Duration(number(0, 3000, "begin")) * time.Millisecond
		offset = int64(number(-2, 2, "clock")) * 300_000 // of the sender's clock, ms
		own    = uint16(1)
	)
	push := func(s state.State) {
		s.EngineID, s.TimestampMs = id, 1_755_532_567_495+now.Milliseconds()+offset
		sent, moment, port = append(sent, s), append(moment, now), append(port, own)
	}
	heartbeat := state.State{SchedulingMode: "latency_optimized", KVCacheFreeBlocks: state.Unknown, KVCacheTotalBlocks: state.Unknown}
	working := func() state.State {
		return state.State{
			LatencyPredMs: float64(number(0, 2, "latency")), SchedulingMode: rapid.SampledFrom([]string{"latency_optimized", "balanced", "odd"}).Draw(t, "mode"),
			PendingTokensTotal: int64(number(0, 2, "pending")), KVCacheFreeBlocks: int64(number(-1, 5, "free")), KVCacheTotalBlocks: 5,
			EngineCapacity: float64(number(0, 1, "capacity")) * 59768.2749641796,
		}
	}
	if rapid.Bool().Draw(t, "init") {
		push(heartbeat)
	}
	for range number(1, 30, "sends") {
		now += time.Duration(number(50, 400, "interval")) * time.Millisecond
		if n.pauses && rarely(8, "pause") {
			now += rapid.SampledFrom([]time.Duration{600, 1000, 2000, 2001, 2500, 10_000, 60_000, 61_000, 62_000}).Draw(t, "length") * time.Millisecond
		}
		if n.steps && rarely(12, "step") {
			offset += int64(number(-10_000, 10_000, "by"))
		}
		if n.restarts && rarely(15, "restart") {
			own += 10
			push(heartbeat)
			continue
		}
		if n.conflicts && rarely(4, "another sender") {
			own ^= 1
		}
		switch number(0, 9, "kind") {
		case 0, 1:
			push(heartbeat)
		case 2: // in one millisecond, in either order
			push(heartbeat)
			push(working())
		case 3:
			push(working())
			push(heartbeat)
		default:
			push(working())
		}
	}
	for i := range sent {
		if n.loss && rarely(4, "lost") {
			continue
		}
		for range number(1, n.copies, "copies") {
			place := i + number(0, n.displacement, "displaced")
			source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), port[i])
			delivered = append(delivered, datagram{sent[i], source, moment[min(place, len(sent)-1)], place})
		}
	}
	slices.SortStableFunc(delivered, func(a, b datagram) int { return a.place - b.place })
	for i := range delivered {
		d := &delivered[i]
		d.mono += time.Duration(number(300, 900, "delay")) * time.Microsecond
		if i > 0 {
			d.mono = max(d.mono, delivered[i-1].mono)
		}
	}
	return delivered
}

// TestAgainstOracle gives random streams of several engines to the pure rules, to a table and to the oracle.
func TestAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := state.Rules{
			StaleThreshold: rapid.SampledFrom([]time.Duration{300, 2000, 2001, 5000}).Draw(t, "threshold") * time.Millisecond,
			SenderClock:    rapid.Bool().Draw(t, "sender's clock"),
			HeartbeatMerge: rapid.IntRange(0, 3).Draw(t, "merge") > 0,
			WatchSources:   rapid.Bool().Draw(t, "unicast"),
		}
		var all []datagram
		for e := range rapid.IntRange(1, 3).Draw(t, "engines") {
			all = append(all, stream(t, fmt.Sprint("engine ", e), network{
				loss: true, copies: 3, displacement: rapid.IntRange(0, 2).Draw(t, "displacement"),
				steps: true, pauses: true, restarts: true, conflicts: rapid.Bool().Draw(t, "two senders"),
			})...)
		}
		slices.SortStableFunc(all, func(a, b datagram) int { return int(a.mono - b.mono) })
		type engine struct {
			held   state.Held
			memory state.Memory
			oracle oracle
		}
		engines := map[string]*engine{}
		table := shard.New(shard.Config{MaxEngines: 3, History: 100, Rules: rules})
		wall := int64(1_755_532_567_495_000_000)
		for i, d := range all {
			if rapid.IntRange(0, 30).Draw(t, "gateway's step") == 30 {
				wall += int64(rapid.IntRange(-5000, 5000).Draw(t, "by")) * int64(time.Millisecond)
			}
			at := state.Instant{Mono: int64(d.mono), Wall: wall + int64(d.mono)}
			e := engines[d.EngineID]
			if e == nil {
				e = &engine{oracle: oracle{rules: rules}}
				engines[d.EngineID] = e
			}
			want := e.oracle.outcomeOf(d.State, d.source, at)
			var got state.Outcome
			if len(e.oracle.arrivals) == 0 {
				got = e.held.First(&e.memory, &d.State, d.source, at, &rules)
			} else {
				got = e.held.Next(&e.memory, &d.State, d.source, at, &rules)
			}
			e.oracle.arrivals = append(e.oracle.arrivals, arrival{d.State, d.source, at, want})
			if got != want {
				t.Fatalf("step %d: outcome %b, want %b", i, got, want)
			}
			if got := table.Apply(&d.State, d.source, at); got != want {
				t.Fatalf("step %d: in the table: outcome %b, want %b", i, got, want)
			}
			heldWant := e.oracle.held()
			heldWant.ClockSkewMs = e.held.ClockSkewMs
			if most, least := e.oracle.skew(60*time.Second), e.oracle.skew(62*time.Second); e.held.ClockSkewMs < least || e.held.ClockSkewMs > most {
				t.Fatalf("step %d: skew %d, want %d … %d", i, e.held.ClockSkewMs, least, most)
			}
			if e.held != heldWant {
				t.Fatalf("step %d: held\n%+v, want\n%+v", i, e.held, heldWant)
			}
			if inTable, ok := table.Get(d.EngineID); !ok || inTable != heldWant {
				t.Fatalf("step %d: in the table\n%+v, want\n%+v", i, inTable, heldWant)
			}
			now := at
			later := time.Duration(rapid.IntRange(0, 3000).Draw(t, "read later")) * time.Millisecond
			now.Mono, now.Wall = now.Mono+int64(later), now.Wall+int64(later)
			for id, e := range engines {
				h, _ := table.Get(id)
				if age, want := h.Age(now, &rules), e.oracle.age(now); age != want {
					t.Fatalf("step %d: age %v, want %v", i, age, want)
				}
				if status, want := h.Status(now, &rules), e.oracle.status(now); status != want {
					t.Fatalf("step %d: %v, want %v", i, status, want)
				}
				if after, want := h.StaleAfter(&rules), e.oracle.staleAfter(); after != want {
					t.Fatalf("step %d: stale after %v, want %v", i, after, want)
				}
			}
		}
		for id, e := range engines {
			history, _ := table.History(id, 100)
			applied := e.oracle.applied()
			if applied = applied[max(0, len(applied)-100):]; len(history) != len(applied) {
				t.Fatalf("%d records, want %d", len(history), len(applied))
			}
			for i, a := range applied {
				if history[i].State != a.State || history[i].ReceivedWall != a.at.Wall {
					t.Fatalf("record %d: %+v, want %+v", i, history[i], a)
				}
			}
		}
	})
}

// TestNeverBack: whatever is lost, copied and displaced by up to two places, what is served never goes back and nothing
// is taken for a clock that was set back; the newest that was delivered is what order goes by, and it is served.
func TestNeverBack(t *testing.T) {
	rules := state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true, WatchSources: true}
	rapid.Check(t, func(t *rapid.T) {
		table := shard.New(shard.Config{MaxEngines: 1, History: 10, Rules: rules})
		o := oracle{rules: rules}
		served, newest := int64(-1), state.State{TimestampMs: -1}
		for i, d := range stream(t, "engine", network{loss: true, copies: 3, displacement: 2, restarts: true}) {
			outcome := table.Apply(&d.State, d.source, state.Instant{Mono: int64(d.mono), Wall: int64(d.mono)})
			if outcome&state.ClockReset != 0 {
				t.Fatalf("step %d: taken for a clock that was set back", i)
			}
			if d.TimestampMs > newest.TimestampMs || d.TimestampMs == newest.TimestampMs && !o.isHeartbeat(d.State) {
				newest = d.State
			}
			h, _ := table.Get("engine")
			if h.TimestampMs < served {
				t.Fatalf("step %d: serves %d after %d", i, h.TimestampMs, served)
			}
			served = h.TimestampMs
			if h.NewestTimestampMs != newest.TimestampMs || !o.isHeartbeat(newest) && h.State != newest {
				t.Fatalf("step %d: held %+v, newest delivered %+v", i, h, newest)
			}
		}
	})
}

// TestBackInThree: after its clock was set back an engine's third state is served, broadcast's copies or not.
func TestBackInThree(t *testing.T) {
	rules := state.Rules{StaleThreshold: 2 * time.Second, HeartbeatMerge: true}
	rapid.Check(t, func(t *rapid.T) {
		table := shard.New(shard.Config{MaxEngines: 1, History: 10, Rules: rules})
		var mono int64
		deliver := func(d datagram) state.Held {
			mono += int64(time.Millisecond)
			table.Apply(&d.State, d.source, state.Instant{Mono: mono, Wall: mono})
			h, _ := table.Get("engine")
			return h
		}
		before := stream(t, "engine", network{copies: 3, displacement: rapid.IntRange(0, 2).Draw(t, "displaced")})
		for _, d := range before {
			mono = int64(d.mono)
			deliver(d)
		}
		newest := slices.MaxFunc(before, func(a, b datagram) int { return int(a.TimestampMs - b.TimestampMs) })
		timestamp := newest.TimestampMs - int64(rapid.IntRange(1, 20_000).Draw(t, "step back"))
		var sent []datagram
		for i := range 3 {
			timestamp += int64(rapid.IntRange(1, 400).Draw(t, "interval"))
			d := newest
			d.State = state.State{EngineID: "engine", TimestampMs: timestamp, SchedulingMode: "odd", EngineCapacity: float64(i + 1)}
			sent = append(sent, d)
			var h state.Held
			for range rapid.IntRange(1, 3).Draw(t, "copies") {
				h = deliver(d)
				if rapid.Bool().Draw(t, "beats") { // in its millisecond
					beat := d
					beat.State = state.State{EngineID: "engine", TimestampMs: timestamp, SchedulingMode: "latency_optimized", KVCacheFreeBlocks: -1, KVCacheTotalBlocks: -1}
					deliver(beat)
				}
				if i < 2 && rapid.Bool().Draw(t, "late copy") {
					deliver(sent[rapid.IntRange(0, i).Draw(t, "of")])
				}
			}
			if i == 2 && h.State != d.State {
				t.Fatalf("serves %+v, not the third %+v", h.State, d.State)
			}
		}
	})
}
