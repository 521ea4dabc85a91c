package bench

import (
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

const (
	warmUp = 300 * time.Millisecond // sockets, caches, every engine's first state
	slice  = time.Second            // of one measurement; a pair is null, subject, subject, null
)

// reading is what one slice of time cost and brought.
type reading struct {
	cpu      time.Duration // of this process
	wall     time.Duration
	received uint64
	dropped  uint64
	allocs   uint64
	gcs      uint32
}

func (r reading) plus(s reading) reading {
	return reading{r.cpu + s.cpu, r.wall + s.wall, r.received + s.received, r.dropped + s.dropped, r.allocs + s.allocs, r.gcs + s.gcs}
}

func (r reading) cpuPerDatagram() float64 { return float64(r.cpu.Nanoseconds()) / float64(r.received) }
func (r reading) rate() float64           { return float64(r.received) / r.wall.Seconds() }

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs a new subject under a load for a slice of time.
func measure(b *testing.B, newSubject func(*testing.B) subject, load func(netip.AddrPort) traffic.LoadConfig) reading {
	b.Helper()
	s := newSubject(b)
	sender := startSender(b, load(s.address()))
	for begin := s.received(); s.received() == begin; {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(warmUp)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, wall, received, dropped := processCPU(b), time.Now(), s.received(), s.dropped()
	time.Sleep(slice)
	r := reading{
		cpu: processCPU(b) - cpu, wall: time.Since(wall),
		received: s.received() - received, dropped: s.dropped() - dropped,
	}
	runtime.ReadMemStats(&after)
	r.allocs, r.gcs = after.Mallocs-before.Mallocs, after.NumGC-before.NumGC
	sender.stop(b)
	s.stop()
	runtime.GC()
	return r
}

// compare measures a subject between two measurements of the null sink and reports it and the ratios. The order
// null, subject, subject, null lets a drift of the machine cancel out.
func compare(b *testing.B, newSubject func(*testing.B) subject, load func(netip.AddrPort) traffic.LoadConfig) {
	compareWith(b, nullSink, newSubject, load, load)
}

func compareWith(b *testing.B, base, newSubject func(*testing.B) subject, baseLoad, load func(netip.AddrPort) traffic.LoadConfig) {
	b.Helper()
	var unit, subject reading
	for range b.N {
		unit = unit.plus(measure(b, base, baseLoad))
		subject = subject.plus(measure(b, newSubject, load)).plus(measure(b, newSubject, load))
		unit = unit.plus(measure(b, base, baseLoad))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(subject.cpuPerDatagram(), "cpu-ns/dgram")
	b.ReportMetric(subject.rate(), "dgram/s")
	b.ReportMetric(100*float64(subject.dropped)/float64(subject.received+subject.dropped), "drop-%")
	b.ReportMetric(float64(subject.allocs)/float64(subject.received), "allocs/dgram")
	b.ReportMetric(float64(subject.gcs), "gcs")
	b.ReportMetric(subject.cpuPerDatagram()/unit.cpuPerDatagram(), "xnull")
	b.ReportMetric(subject.rate()/unit.rate(), "xrate")
}
