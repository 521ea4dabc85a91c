package top

import (
	"slices"
	"testing"
	"time"

	"github.com/elrar/state-gateway/client"
)

func TestNatural(t *testing.T) {
	sorted := []string{
		"", "0", "1", "2", "10", "10.0.0.2:8000", "10.0.0.2:10000", "10.0.0.10:8000", "10.0.1.0:8000",
		"99999999999999999999999", "100000000000000000000000", "A-2", "a", "a1", "a1b", "a2", "a02b", "a10", "é2", "é10",
	}
	for i, a := range sorted {
		for j, b := range sorted {
			got := natural(a, b)
			if want := i - j; got < 0 != (want < 0) || got > 0 != (want > 0) {
				t.Errorf("%q, %q: %d", a, b, got)
			}
		}
	}
	if natural("a01", "a1") != 0 {
		t.Error("the zeros before a number count")
	}
}

func TestNaturalAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { natural("10.0.0.2:8000", "10.0.0.10:8000") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestNaturalOrder: engines are sorted by their ids as on the page, equal ones of another column too.
func TestNaturalOrder(t *testing.T) {
	engines := func() (all []client.Engine) {
		for _, id := range []string{"10.0.0.10:8000", "10.0.0.2:8000", "10.0.0.02:8000", "10.0.0.1:8000"} {
			all = append(all, client.Engine{State: client.State{EngineID: id}, Status: client.Fresh})
		}
		return all
	}
	want := []string{"10.0.0.1:8000", "10.0.0.02:8000", "10.0.0.2:8000", "10.0.0.10:8000"}
	for column := range columns {
		m := newModel(0)
		m.sortBy = column
		m.see(seenMsg{at: time.Now(), engines: engines()})
		m.choose()
		var got []string
		for _, e := range m.rows {
			got = append(got, e.EngineID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: %q", columns[column].title, got)
		}
	}
}
