package replay

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLateness(t *testing.T) {
	var empty Lateness
	if empty.Count() != 0 || empty.Max() != 0 || empty.Quantile(0.5) != 0 {
		t.Errorf("empty: %d, %v, %v", empty.Count(), empty.Max(), empty.Quantile(0.5))
	}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var l Lateness
		var all []time.Duration
		for range 1 + random.IntN(3000) {
			d := time.Duration(math.Exp(random.Float64() * 40)) // 1 ns … 7 years
			l.Add(d)
			all = append(all, d)
		}
		l.Add(-5)
		all = append(all, 0)
		slices.Sort(all)
		if last := all[len(all)-1]; l.Max() != last || l.Quantile(1) != last || l.Count() != uint64(len(all)) {
			t.Errorf("max %v, quantile 1 %v of %d, want %v of %d", l.Max(), l.Quantile(1), l.Count(), last, len(all))
		}
		for _, q := range []float64{0.001, 0.25, 0.5, 0.9, 0.99, 0.999} {
			exact := all[int(math.Ceil(q*float64(len(all))))-1]
			if got := l.Quantile(q); got < exact || float64(got) > float64(exact)*17/16 {
				t.Errorf("quantile %v: %v, exactly %v", q, got, exact)
			}
		}
	}
}

func TestLatenessBuckets(t *testing.T) {
	for i := range 59 * steps {
		if n := bucket(uint64(upper(i))); n != i {
			t.Errorf("bucket %d ends with %v, which is in %d", i, upper(i), n)
		}
		if n := bucket(uint64(upper(i)) + 1); n != i+1 {
			t.Errorf("after bucket %d comes %d", i, n)
		}
	}
	if n := bucket(math.MaxInt64); n >= len(Lateness{}.counts) {
		t.Errorf("the greatest time is in bucket %d", n)
	}
}
