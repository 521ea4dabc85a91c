package state

import (
	"testing"
	"time"
)

func TestPushInterval(t *testing.T) {
	merge, literal := Rules{HeartbeatMerge: true}, Rules{}
	const heartbeat = -1 // in arrivals: 100 ms after the state before, a heartbeat
	for _, c := range []struct {
		name  string
		rules Rules
		gaps  []int64 // ms before each record; heartbeat
		want  int64   // ms; -1: not known
	}{
		{"nothing", merge, nil, -1},
		{"one", merge, []int64{0}, -1},
		{"two", merge, []int64{0, 200}, 200},
		{"one of three lost", merge, []int64{0, 200, 400}, 200},
		{"jitter", merge, []int64{0, 190, 207, 200, 204, 199, 210, 185, 201}, 200},
		{"a lost datagram", merge, []int64{0, 200, 200, 400, 200, 200}, 200},
		{"three of ten lost", merge, []int64{0, 200, 400, 200, 600, 200, 200, 400, 200}, 200},
		{"a late one", merge, []int64{0, 200, 350, 50, 200}, 200},
		{"the clock steps forward", merge, []int64{0, 200, 5200, 200, 200}, 200},
		{"the clock steps back", merge, []int64{0, 200, -4800, 200, 200}, 200},
		{"the clock steps back, two states", merge, []int64{0, -4800}, -1},
		{"the clock steps back, three states", merge, []int64{0, -4800, 200}, 200},
		{"the newest nine count", merge, []int64{0, 100, 100, 100, 100, 100, 100, 100, 100, 100, 900, 900, 900, 900, 900}, 900},
		{"heartbeats do not", merge, []int64{0, heartbeat, 100, heartbeat, 100, heartbeat, 100}, 200},
		{"only heartbeats", merge, []int64{heartbeat, heartbeat, heartbeat}, -1},
		{"heartbeats like any other", literal, []int64{0, heartbeat, 100, heartbeat, 100}, 100},
		{"in one batch", merge, []int64{0, 0, 0}, 0},
	} {
		var records []Record
		wall := int64(time.Hour)
		for i, gap := range c.gaps {
			r := Record{State: load(int64(i), 1)}
			if gap == heartbeat {
				r.State, gap = beat(int64(i)), 100
			}
			wall += gap * int64(time.Millisecond)
			r.ReceivedWall = wall
			records = append(records, r)
		}
		got, ok := PushInterval(records, &c.rules)
		if want := time.Duration(c.want) * time.Millisecond; ok != (c.want >= 0) || ok && got != want {
			t.Errorf("%s: %v, %v; want %v", c.name, got, ok, want)
		}
	}
}

func TestLongestGap(t *testing.T) {
	merge, literal := Rules{HeartbeatMerge: true}, Rules{}
	type record struct {
		sent, arrived int64 // ms after the one before
		pending       int64 // beats: a heartbeat
	}
	const beats = -1
	steady := func(n int) (all []record) {
		for range n {
			all = append(all, record{200, 200, 5})
		}
		return all
	}
	for _, c := range []struct {
		name    string
		rules   Rules
		records []record
		want    int64 // ms
	}{
		{"nothing", merge, nil, 0},
		{"one", merge, steady(1), 0},
		{"steady", merge, steady(20), 200},
		{"one long step among short ones", merge, append(steady(20), record{1500, 1500, 5}, record{200, 200, 5}), 1500},
		{"with a heartbeat in it", merge, append(steady(20), record{1100, 1100, beats}, record{400, 400, 5}), 1500},
		{"a rest: two heartbeats", merge, append(steady(20), record{1100, 1100, beats}, record{2000, 2000, beats}, record{100, 100, 5}), 200},
		{"a rest: nothing was pending", merge, append(steady(20), record{200, 200, 0}, record{1100, 1100, beats}, record{400, 400, 5}), 200},
		{"work ends", merge, append(steady(20), record{1100, 1100, beats}), 200},
		{"this host's clock steps forward", merge, append(steady(20), record{200, 5200, 5}), 200},
		{"this host's clock steps back", merge, append(steady(20), record{200, -4800, 5}), 200},
		{"the sender's clock steps forward", merge, append(steady(20), record{5200, 200, 5}), 200},
		{"the sender's clock steps back", merge, append(steady(20), record{-4800, 200, 5}), 200},
		{"a sender of another age", merge, append(steady(2), record{MaxInteger / 2, 300, 5}), 300},
		{"long ago", merge, append([]record{{0, 0, 5}, {1500, 1500, 5}}, steady(GapRecords)...), 200},
		{"not so long ago", merge, append([]record{{0, 0, 5}, {1500, 1500, 5}}, steady(GapRecords-2)...), 1500},
		{"heartbeats like any other", literal, append(steady(20), record{1100, 1100, beats}, record{400, 400, 5}), 1100},
	} {
		var records []Record
		sent, wall := int64(1_000_000), int64(time.Hour)
		for _, step := range c.records {
			sent += step.sent
			wall += step.arrived * int64(time.Millisecond)
			r := Record{State: load(sent, step.pending), ReceivedWall: wall}
			if step.pending == beats {
				r.State = beat(sent)
			}
			records = append(records, r)
		}
		if got := LongestGap(records, &c.rules); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("%s: %v, want %d ms", c.name, got, c.want)
		}
	}
}
