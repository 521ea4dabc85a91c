package traffic

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// pass sends n numbered datagrams through a disorder and returns the numbers that come out.
func pass(cfg RelayConfig, n int) (out []int) {
	d := disorder{cfg: &cfg, random: rand.New(rand.NewPCG(cfg.Seed, 2))}
	take := func(payloads [][]byte) {
		for _, p := range payloads {
			out = append(out, int(binary.BigEndian.Uint32(p)))
		}
	}
	for i := range n {
		take(d.pass(binary.BigEndian.AppendUint32(nil, uint32(i))))
	}
	take(d.rest())
	return out
}

func TestDisorder(t *testing.T) {
	const n = 10_000
	for seed := range uint64(10) {
		cfg := RelayConfig{Seed: seed, Drop: 0.3, Duplicate: 0.2, Displace: 0.4}
		out := pass(cfg, n)
		if fmt.Sprint(out) != fmt.Sprint(pass(cfg, n)) {
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
		if overtaken[1] < n/20 || overtaken[2] < n/20 {
			t.Errorf("overtaken by 0, 1, 2: %v", overtaken)
		}
	}
	if out := pass(RelayConfig{}, n); len(out) != n || out[n-1] != n-1 {
		t.Errorf("a good network delivers %d of %d", len(out), n)
	}
}
