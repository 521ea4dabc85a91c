package api

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ageBounds are the upper bounds of the classes that served states' ages are counted in: fine where they should be,
// within one push interval and a tick, and with the two usual limits of staleness, 2 and 2.5 s, among them.
var ageBounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	150 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 2500 * time.Millisecond, 5 * time.Second, time.Minute, 5 * time.Minute,
}

// ages are the ages of the states of one answer or event, counted by class: they are added up without a lock, and once
// an answer added to the account.
type ages struct {
	classes [len(ageBounds) + 1]uint64
	sum     time.Duration
}

func (a *ages) add(age time.Duration) {
	class := 0
	for class < len(ageBounds) && age > ageBounds[class] {
		class++
	}
	a.classes[class]++
	a.sum += age
}

// servedAges is the account of one handler: a histogram for the metrics.
type servedAges struct {
	desc *prometheus.Desc

	mu    sync.Mutex
	total ages
}

func newServedAges(handler string) *servedAges {
	return &servedAges{desc: prometheus.NewDesc(
		prometheus.BuildFQName(namespace, "", "served_state_age_seconds"),
		"Time from a state's arrival to its being put into an answer.",
		nil, prometheus.Labels{"handler": handler})}
}

func (s *servedAges) merge(a *ages) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range a.classes {
		s.total.classes[i] += n
	}
	s.total.sum += a.sum
}

// Describe implements prometheus.Collector.
func (s *servedAges) Describe(descs chan<- *prometheus.Desc) { descs <- s.desc }

// Collect implements prometheus.Collector.
func (s *servedAges) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	total := s.total
	s.mu.Unlock()
	buckets, count := map[float64]uint64{}, uint64(0)
	for i, n := range total.classes {
		count += n
		if i < len(ageBounds) {
			buckets[ageBounds[i].Seconds()] = count
		}
	}
	out <- prometheus.MustNewConstHistogram(s.desc, count, total.sum.Seconds(), buckets)
}
