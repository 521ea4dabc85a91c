package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// engines returns how many engines an event is about.
func (e sent) engines(t *testing.T) int {
	t.Helper()
	var data struct {
		States    map[string]json.RawMessage `json:"states"`
		EngineIDs []string                   `json:"engine_ids"`
	}
	if err := json.Unmarshal([]byte(e.data), &data); err != nil {
		t.Fatal(err)
	}
	return len(data.States) + len(data.EngineIDs)
}

// With max_event_bytes a snapshot is one with the first engines and then updates; an update is several, and a removal, too.
// No engine is told twice, the revision is one, all but the last say that there is more, and nothing comes between.
func TestSplitEvents(t *testing.T) {
	const engines, limit = 200, 4096
	inWorld(t, func(t *testing.T, w *world) {
		long := "http://" + strings.Repeat(`"`, 240) // escaped, and there three times: alone it is too large already
		ids := []string{long}
		for i := range engines - 1 {
			ids = append(ids, engineID(i))
		}
		slices.Sort(ids)
		apply := func(n int64) {
			for _, id := range ids {
				w.apply(id, n)
			}
		}
		apply(1)
		first := w.watch("") // it starts the ticks: those who come between two of them get the same snapshot
		defer first.conn.Close()
		settle(tickInterval / 2)
		for _, fields := range []string{"states", "engines"} {
			query := "?stale=include&fields=" + fields
			whole, split, tiny := w.watch(query), w.watch(query+fmt.Sprint("&max_event_bytes=", limit)), w.watch(query+"&max_event_bytes=1024")
			settle(tickInterval)
			check := func(kind string) {
				t.Helper()
				one := dropBookmarks(whole.drain())
				if len(one) != 1 || one[0].name != kind || strings.Contains(one[0].data, `"more"`) || one[0].engines(t) != engines {
					t.Fatalf("%s whole: %v", kind, names(one))
				}
				for _, s := range []struct {
					*stream
					limit int
				}{{split, limit}, {tiny, 1024}} {
					checkParts(t, kind, s.limit, one[0], dropBookmarks(s.drain()), ids)
				}
			}
			check("snapshot")
			apply(time.Now().UnixNano()) // newer each time
			settle(tickInterval)
			check("update")
			settle(5 * time.Second)
			whole.drain()
			split.drain()
			tiny.drain()
			if fields == "engines" {
				w.table.Sweep(w.gateway.Now(), time.Second)
				settle(tickInterval)
				check("removed")
			}
			for _, s := range []*stream{whole, split, tiny} {
				s.conn.Close()
			}
		}
	})
}

func dropBookmarks(events []sent) []sent {
	return slices.DeleteFunc(events, func(e sent) bool { return e.name == "bookmark" })
}

func checkParts(t *testing.T, kind string, limit int, whole sent, parts []sent, ids []string) {
	t.Helper()
	type wire struct {
		Revision  uint64                     `json:"revision"`
		Time      *int64                     `json:"server_time_ms"`
		States    map[string]json.RawMessage `json:"states"`
		EngineIDs []string                   `json:"engine_ids"`
		More      bool                       `json:"more"`
	}
	var want wire
	strict(t, []byte(whole.data), &want)
	rest := map[string]string{"snapshot": "update"}[kind]
	if rest == "" {
		rest = kind
	}
	got := map[string]json.RawMessage{}
	alone := 0
	for i, e := range parts {
		var part wire
		strict(t, []byte(e.data), &part)
		switch {
		case i == 0 && (e.name != kind || e.retry != whole.retry), i > 0 && (e.name != rest || e.retry != ""):
			t.Fatalf("part %d is %s, retry %q", i, e.name, e.retry)
		case e.id != whole.id || part.Revision != want.Revision || (part.Time == nil) != (want.Time == nil) || part.Time != nil && *part.Time != *want.Time:
			t.Fatalf("part %d: %s %.80s, want %s %.80s", i, e.id, e.data, whole.id, whole.data)
		case part.More != (i < len(parts)-1):
			t.Fatalf("part %d of %d: more is %v", i, len(parts), part.More)
		case e.engines(t) == 0:
			t.Fatalf("part %d is empty", i)
		case e.size > limit && e.engines(t) > 1:
			t.Fatalf("part %d: %d bytes with %d engines", i, e.size, e.engines(t))
		case e.size > limit:
			alone++
		case i > 0 && i < len(parts)-1 && parts[i-1].size+e.size < limit:
			t.Fatalf("parts %d and %d fit into one", i-1, i)
		}
		for _, id := range part.EngineIDs {
			part.States = map[string]json.RawMessage{id: nil}
			if _, twice := got[id]; twice {
				t.Fatalf("%q comes twice", id)
			}
			maps.Copy(got, part.States)
		}
		if part.EngineIDs != nil {
			continue
		}
		for id, s := range part.States {
			if _, twice := got[id]; twice || string(s) != string(want.States[id]) {
				t.Fatalf("%q comes twice, or is %s, want %s", id, s, want.States[id])
			}
			got[id] = s
		}
	}
	if len(parts) < 2 || !slices.Equal(slices.Sorted(maps.Keys(got)), ids) {
		t.Fatalf("%s: %d parts with %d engines, want %d", kind, len(parts), len(got), len(ids))
	}
	if kind != "removed" && alone != map[int]int{1024: 1}[limit] {
		t.Errorf("%s: %d engines too large for %d bytes", kind, alone, limit)
	}
}

// An event that is small enough is the same for everybody, and is written at once; so is one that nobody wants split.
func TestUnsplitEventsAreWrittenAsTheyAre(t *testing.T) {
	for _, e := range []*event{
		{frame: make([]byte, 2000), cuts: []int{100, 1000, 1900}},
		{frame: make([]byte, 5000), cuts: []int{100, 4900}},
		{frame: make([]byte, 5000), cuts: []int{100}},
		{frame: make([]byte, 5000)},
	} {
		w := &writes{}
		if further, err := e.writeTo(w, 2000); further != 0 || err != nil || len(w.sizes) != 1 || w.sizes[0] != len(e.frame) {
			t.Errorf("%d further, %v, writes of %v", further, err, w.sizes)
		}
	}
	failing := &writes{err: errors.New("gone")}
	cut := &event{frame: []byte("event: update\nid: 1-1\ndata: {\"states\": {A, B}}\n\n"), cuts: []int{41, 42, 45}}
	if _, err := cut.writeTo(failing, 10); err != failing.err {
		t.Errorf("error %v", err)
	}
}

type writes struct {
	sizes []int
	err   error
}

func (w *writes) Write(p []byte) (int, error) {
	w.sizes = append(w.sizes, len(p))
	return len(p), w.err
}

// Every stream says when to come back, with its snapshot; the figures count what was written.
func TestWatchSaysWhenToComeBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.apply(engineID(i), 1)
		}
		s := w.watch("?max_event_bytes=1024")
		defer s.conn.Close()
		settle(tickInterval)
		events := dropBookmarks(s.drain())
		if events[0].retry != "1000" {
			t.Errorf("retry %q", events[0].retry)
		}
		if n := w.figure(`watch_events_total{event="update"}`); len(events) < 3 || n != float64(len(events)-1) {
			t.Errorf("%d events, counted %v updates", len(events), n)
		}
	})
}
