package disorder

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// pass sends n numbers through a disorder and returns those that come out.
func pass(shares Shares, seed uint64, n int) (out []int, counts Counts) {
	d := New[int](shares, rand.New(rand.NewPCG(seed, 2)))
	for i := range n {
		out = append(out, d.Pass(i)...)
	}
	return append(out, d.Rest()...), d.Counts()
}

func TestDisorder(t *testing.T) {
	const n = 10_000
	for seed := range uint64(10) {
		shares := Shares{Drop: 0.3, Duplicate: 0.2, Displace: 0.4}
		out, counts := pass(shares, seed, n)
		if again, _ := pass(shares, seed, n); !slices.Equal(out, again) {
			t.Fatal("two runs of one seed differ")
		}
		copies, overtaken := map[int]int{}, [4]int{}
		for i, number := range out {
			copies[number]++
			by := 0
			for _, before := range out[max(0, i-20):i] {
				by = max(by, before-number)
			}
			if by >= len(overtaken)-1 {
				t.Fatalf("%d is overtaken by %d", number, number+by)
			}
			overtaken[by]++
		}
		if lost := n - len(copies); lost < n*28/100 || lost > n*32/100 {
			t.Errorf("%d of %d lost", lost, n)
		}
		twice := 0
		for _, c := range copies {
			if c == 2 {
				twice++
			} else if c != 1 {
				t.Errorf("%d copies", c)
			}
		}
		if share := float64(twice) / float64(len(copies)); share < 0.17 || share > 0.23 {
			t.Errorf("%.3f of them come twice", share)
		}
		if uint64(n-len(copies)) != counts.Dropped || uint64(twice) != counts.Duplicated || uint64(overtaken[1]+overtaken[2]) > counts.Displaced {
			t.Errorf("%d lost, %d twice, %v overtaken: counted as %+v", n-len(copies), twice, overtaken, counts)
		}
		if overtaken[1] < n/20 || overtaken[2] < n/20 {
			t.Errorf("overtaken by 0, 1, 2: %v", overtaken)
		}
	}
	if out, counts := pass(Shares{}, 1, n); counts != (Counts{}) || len(out) != n || out[n-1] != n-1 {
		t.Errorf("a good network delivers %d of %d", len(out), n)
	}
}
