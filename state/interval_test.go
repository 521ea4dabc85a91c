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
