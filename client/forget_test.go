package client

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// parted is a table on a clock of its own, and what happens to it.
type parted struct {
	t    *testing.T
	now  time.Time
	said time.Time // until when ages were looked at
	table
}

func newParted(t *testing.T, parts int) *parted {
	begin := time.Now()
	p := &parted{t: t, now: begin, said: begin}
	p.divide(parts)
	return p
}

// engines returns what a gateway tells now of engines that are stale 2 s later.
func (p *parted) engines(ids ...string) map[string]*told {
	all := map[string]*told{}
	for _, id := range ids {
		all[id] = &told{Engine: Engine{State: State{EngineID: id}, Heard: p.now, StaleAfter: 2 * time.Second}}
	}
	return all
}

func (p *parted) snapshot(part int, ids ...string) { p.replace(part, p.engines(ids...), p.now) }

// pass lets time pass, and reports whether that was told to be a change.
func (p *parted) pass(d time.Duration) bool {
	changed := p.next()
	p.now = p.now.Add(d)
	p.age(p.said, p.now)
	p.said = p.now
	select {
	case <-changed:
		return true
	default:
		return false
	}
}

func (p *parted) expect(want ...string) {
	p.t.Helper()
	if got := slices.Sorted(maps.Keys(p.view)); !slices.Equal(got, want) {
		p.t.Errorf("%v, want %v", got, want)
	}
	for _, part := range p.parts {
		for id := range part.ageing {
			if part.engines[id] == nil {
				p.t.Errorf("%s is noted as ageing, and is not there", id)
			}
		}
		for id := range part.engines {
			if p.view[id] == nil {
				p.t.Errorf("%s is held, and not seen", id)
			}
		}
	}
}

// TestForget: a gateway's word for an engine goes when the gateway does not hold it any more and it is stale, or has been
// so for a while if the gateway is lost; the engine goes with the last one.
func TestForget(t *testing.T) {
	const stale = 2*time.Second + 1
	for name, test := range map[string]func(p *parted){
		"held by a connected gateway: its own to remove": func(p *parted) {
			p.snapshot(0, "a")
			if !p.pass(stale) {
				p.t.Error("nothing told of its turning stale")
			}
			if p.pass(time.Hour) {
				p.t.Error("a change of which nothing is known")
			}
			p.expect("a")
			p.remove(0, []string{"a"})
			p.expect()
		},
		"not in the next snapshot, and fresh": func(p *parted) {
			p.snapshot(0, "a", "b")
			p.lose(0)
			p.pass(time.Second)
			p.snapshot(0, "a")
			p.expect("a", "b")
			p.pass(time.Second)
			p.expect("a", "b")
			if !p.pass(1) {
				p.t.Error("nothing told of its going")
			}
			p.expect("a")
		},
		"not in the next snapshot, and stale": func(p *parted) {
			p.snapshot(0, "a")
			p.pass(stale)
			p.snapshot(0)
			p.expect()
		},
		"not in the next snapshot, and heard of again": func(p *parted) {
			p.snapshot(0, "a")
			p.snapshot(0)
			p.update(0, p.engines("a"))
			p.pass(time.Hour)
			p.expect("a")
		},
		"of a lost gateway": func(p *parted) {
			p.snapshot(0, "a")
			p.lose(0)
			p.pass(2*time.Second + forgetAfter)
			p.expect("a")
			if !p.pass(1) {
				p.t.Error("nothing told of its going")
			}
			p.expect()
		},
		"of a lost gateway that is found again, and has it": func(p *parted) {
			p.snapshot(0, "a")
			p.lose(0)
			p.pass(forgetAfter)
			p.replace(0, map[string]*told{"a": {Engine: *p.view["a"]}}, p.now)
			p.pass(forgetAfter)
			p.expect("a")
		},
		"of the lost one of two": func(p *parted) {
			p.snapshot(0, "a")
			p.snapshot(1, "b")
			p.lose(1)
			p.pass(2*time.Second + forgetAfter)
			p.expect("a", "b")
			p.pass(1)
			p.expect("a")
		},
		"dropped by one, and the other one is lost": func(p *parted) {
			p.snapshot(0, "a")
			p.snapshot(1, "a")
			p.lose(1)
			p.snapshot(0)
			p.pass(stale)
			p.expect("a")
			p.remove(0, []string{"a"})
			p.expect("a")
			p.pass(forgetAfter - 1)
			p.expect("a")
			p.pass(1)
			p.expect()
		},
		"of a lost one, and the connected one has it": func(p *parted) {
			p.snapshot(0, "a")
			p.snapshot(1, "a")
			p.lose(1)
			p.pass(time.Hour)
			p.expect("a")
			if len(p.parts[1].engines) != 0 {
				p.t.Error("the lost one's word is kept")
			}
		},
		"left over twice": func(p *parted) {
			p.snapshot(0, "a")
			p.snapshot(0)
			p.lose(0)
			p.pass(stale)
			p.expect("a")
			p.snapshot(0)
			p.expect()
		},
	} {
		t.Run(name, func(t *testing.T) { test(newParted(t, 2)) })
	}
}

// TestForgetChurn: gateways that are hardly there and have other engines each time do not fill the memory.
func TestForgetChurn(t *testing.T) {
	p := newParted(t, 2)
	most := 0
	for round := range 10_000 {
		for part := range p.parts {
			p.snapshot(part, fmt.Sprintf("%d of %d", round, part))
			p.lose(part)
		}
		p.pass(time.Second)
		most = max(most, len(p.view))
	}
	if most > 2*4 { // those of the 2 s until they are stale
		t.Errorf("%d engines", most)
	}
	// Without a snapshot between, as when every gateway stays away.
	for part := range p.parts {
		p.update(part, p.engines(fmt.Sprint("last of ", part)))
		p.lose(part)
	}
	p.pass(forgetAfter + time.Minute)
	p.expect()
}

// await waits until something holds, and looks only when a change is told: the test never ends if nothing tells of it.
func await(w *Watcher, holds func() bool) {
	for changed := w.Changed(); !holds(); changed = w.Changed() {
		<-changed
	}
}

// TestForgetGhost: who shows stale engines sees one go that died while its gateway was restarted, and is told of it.
func TestForgetGhost(t *testing.T) {
	streams := 0
	watch(t, func(w http.ResponseWriter, r *http.Request) {
		s := begin(w, r)
		if streams++; streams == 1 {
			s.send("snapshot", states(engine("a", 1), engine("ghost", 1)))
			return
		}
		s.send("snapshot", states(engine("a", 2)))
		s.bookmarks()
	}, func(t *testing.T, g *fakeGateway, w *Watcher) {
		begin := time.Now()
		await(w, func() bool { return len(ids(w)) == 2 })
		await(w, func() bool { return !slices.Contains(ids(w), "ghost") })
		if took := time.Since(begin); took < 2*time.Second || took > 2*time.Second+agesInterval {
			t.Errorf("gone after %v", took)
		}
		if got := ids(w); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%v", got)
		}
	}, IncludeStale())
}

// TestForgetLost: what only the dead one of two gateways knew is shown as stale for five minutes, and no longer.
func TestForgetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := func(id string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				s := begin(w, r)
				s.send("snapshot", states(engine(id, 1)))
				s.bookmarks()
			}
		}
		gateways := byHost{"one.test": newFakeGateway(t, hold("a")), "other.test": newFakeGateway(t, hold("b"))}
		ctx, cancel := context.WithCancel(t.Context())
		w, err := Watch(ctx, "http://one.test,http://other.test", Transport(gateways), IncludeStale())
		if err != nil {
			t.Fatal(err)
		}
		await(w, func() bool { return len(ids(w)) == 2 })
		begin := time.Now()
		gateways["other.test"].stop()
		await(w, func() bool { return !slices.Contains(ids(w), "b") })
		if took, want := time.Since(begin), 2*time.Second+forgetAfter; took < want || took > want+agesInterval {
			t.Errorf("gone after %v, want %v", took, want)
		}
		if got := ids(w); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%v", got)
		}
		cancel()
		w.Wait()
	})
}

// byHost sends requests to the gateway of a name.
type byHost map[string]*fakeGateway

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	return b[r.URL.Host].transport().RoundTrip(r)
}
