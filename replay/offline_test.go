package replay

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/state"
)

// runIncident runs the incident to its end and returns all of its result, and the log.
func runIncident(t *testing.T, c captured) (text, log string) {
	t.Helper()
	var b bytes.Buffer
	o := NewOffline(c.source(), incidentSettings(&b))
	if err := o.Run(); err != nil {
		t.Fatal(err)
	}
	addsUp(t, o.Statistics())
	return result(o), b.String()
}

// The incident is one of everything, and two runs are the same to the byte, on one processor or two.
func TestOfflineIsAFunctionOfTheCapture(t *testing.T) {
	c := incident()
	first, log := runIncident(t, c)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, processors := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(processors)
		if again, logAgain := runIncident(t, incident()); again != first || logAgain != log {
			t.Errorf("GOMAXPROCS=%d: another result", processors)
		}
	}
	o := NewOffline(c.source(), incidentSettings(io.Discard))
	o.Run()
	s := o.Statistics()
	for reason := state.Accepted + 1; int(reason) < state.Reasons; reason++ {
		if s.Rejected[reason] == 0 {
			t.Errorf("none rejected for %v", reason)
		}
	}
	if s.Duplicate == 0 || s.OutOfOrder == 0 || s.ClockReset == 0 || s.Heartbeats == 0 || s.Initialized == 0 || s.Conflicts == 0 || s.Removed == 0 {
		t.Errorf("not one of everything: %+v", s)
	}
}

// What it holds at a time is what a capture that ends there leads to, whether it went there at once or stopped on the way.
func TestOfflineAtATime(t *testing.T) {
	c := incident()
	steps := NewOffline(c.source(), incidentSettings(io.Discard))
	for _, elapsed := range []time.Duration{0, 1, 100 * time.Millisecond, 5 * time.Second, 12345678 * time.Microsecond, 19 * time.Second,
		25 * time.Second, 31 * time.Second, 45 * time.Second} {
		at := c[0].Time.Add(elapsed)
		until := 0
		for until < len(c) && !c[until].Time.After(at) {
			until++
		}
		ends := NewOffline(c[:until].source(), incidentSettings(io.Discard))
		for _, o := range []*Offline{ends, steps} {
			if err := o.RunTo(at); err != nil {
				t.Fatal(err)
			}
			if !o.Now().Equal(at) {
				t.Errorf("at %v instead of %v", o.Now(), at)
			}
			addsUp(t, o.Statistics())
		}
		if a, b := result(ends), result(steps); a != b {
			t.Errorf("%v after the start:\n%s\nbut step by step:\n%s", elapsed, a, b)
		}
		if err := steps.RunTo(at.Add(-time.Hour)); err != nil || !steps.Now().Equal(at) {
			t.Errorf("time went back to %v (%v)", steps.Now(), err)
		}
	}
}

// The statuses at chosen times are what the incident was made for.
func TestOfflineTellsTheIncident(t *testing.T) {
	c := incident()
	o := NewOffline(c.source(), incidentSettings(nil))
	for _, step := range []struct {
		at   time.Duration
		want map[string]string // engine: status, or "" for not there
	}{
		{2 * time.Second, map[string]string{"steady": "fresh", "beats": "initializing", "rests": "fresh", "gone": "fresh"}},
		{12 * time.Second, map[string]string{"rests": "idle", "gone": "stale", "returns": "stale", "clock-back": "fresh", "restarts": "fresh"}},
		{13 * time.Second, map[string]string{"restarts": "stale", "clock-back": "fresh", "clock-forth": "fresh"}},
		{16 * time.Second, map[string]string{"restarts": "fresh"}},
		{20500 * time.Millisecond, map[string]string{"rests": "fresh", "gone": "", "returns": ""}},
		{27 * time.Second, map[string]string{"returns": "fresh", "gone": "", "steady": "fresh", "beats": "initializing"}},
		{50 * time.Second, map[string]string{"returns": "", "steady": "", "beats": ""}},
	} {
		if err := o.RunTo(incidentBegin.Add(step.at)); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range o.Engines() {
			got[e.EngineID] = e.Status.String()
		}
		for name, want := range step.want {
			if got["http://10.0.0.1:"+name] != want {
				t.Errorf("after %v %s is %q, want %q", step.at, name, got["http://10.0.0.1:"+name], want)
			}
		}
	}
}

// The log of a run is a capture whose log is the same again, unless a clock was set back: the older states that led to a
// clock reset are not in it.
func TestOfflineLogIsACapture(t *testing.T) {
	_, log := runIncident(t, quiet())
	var second bytes.Buffer
	o := NewOffline(logSource(t, log), incidentSettings(&second))
	if err := o.Run(); err != nil {
		t.Fatal(err)
	}
	if second.String() != log {
		t.Error("the log of the log is another")
	}
	if open := o.source.src.(*Capture); len(open.Skips()) > 0 {
		t.Errorf("skipped: %v", open.Skips())
	}
	s := o.Statistics()
	if s.Received != s.Applied || s.Applied != uint64(bytes.Count([]byte(log), []byte("\n"))) {
		t.Errorf("%+v", s)
	}
}

// logSource reads a state log.
func logSource(t *testing.T, log string) *Capture {
	t.Helper()
	c, err := Open([]string{"-"}, ReadOptions{Stdin: strings.NewReader(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// breaking ends with an error.
type breaking struct {
	Source
	err error
}

func (b breaking) Next() (Datagram, error) {
	d, err := b.Source.Next()
	if err == io.EOF {
		err = b.err
	}
	return d, err
}

// What came before a capture broke off stands, and the error stays.
func TestOfflineOfACaptureThatBreaksOff(t *testing.T) {
	c := incident()
	want, _ := runIncident(t, c)
	broken := errors.New("broken")
	o := NewOffline(breaking{c.source(), broken}, incidentSettings(io.Discard))
	for range 2 {
		if err := o.Run(); err != broken {
			t.Errorf("error %v", err)
		}
	}
	if got := result(o); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if start, err := o.Start(); err != nil || !start.Equal(c[0].Time) {
		t.Errorf("start %v, %v", start, err)
	}
}

func TestOfflineOfNothing(t *testing.T) {
	o := NewOffline(captured{}.source(), incidentSettings(io.Discard))
	if _, err := o.Start(); err != io.EOF {
		t.Errorf("start: %v", err)
	}
	if err := errors.Join(o.Run(), o.RunTo(incidentBegin)); err != nil {
		t.Error(err)
	}
	if s := o.Statistics(); s.Received != 0 || len(o.Engines()) != 0 {
		t.Errorf("%+v", s)
	}
	sum, err := Summarize(captured{}.source(), incidentSettings(nil))
	if err != nil || len(sum.Engines) != 0 || !sum.First.IsZero() || !sum.Last.IsZero() {
		t.Errorf("summary: %+v, %v", sum, err)
	}
}

// Times that no gateway's clock shows do not make time go back.
func TestOfflineAtTheLimitsOfTime(t *testing.T) {
	var c captured
	payload := incident()[0].Payload
	for _, at := range []time.Time{{}, time.Unix(-1e12, 0), time.Unix(0, 1), incidentBegin, time.Unix(1<<40, 0), time.Unix(1<<62, 0)} {
		c = append(c, Datagram{Time: at, Payload: payload})
	}
	var log bytes.Buffer
	o := NewOffline(c.source(), incidentSettings(&log))
	if err := o.Run(); err != nil {
		t.Fatal(err)
	}
	s := o.Statistics()
	addsUp(t, s)
	if s.Received != uint64(len(c)) || s.Removed == 0 || strings.Contains(log.String(), `"timestamp": -`) {
		t.Errorf("%+v, log:\n%s", s, &log)
	}
}

func TestIsBroadcast(t *testing.T) {
	for address, want := range map[string]bool{"255.255.255.255": true, "172.17.255.255": true, "::ffff:10.0.0.255": true,
		"10.0.0.1": false, "127.0.0.1": false, "255.0.0.1": false, "fd00::ff": false} {
		if isBroadcast(netip.MustParseAddr(address)) != want {
			t.Errorf("%s: not %v", address, want)
		}
	}
	if isBroadcast(netip.Addr{}) {
		t.Error("no address is one of a broadcast")
	}
}

// full takes nothing.
type full struct{}

var errFull = errors.New("no space")

func (full) Write([]byte) (int, error) { return 0, errFull }

// A log that cannot be written ends the run, which says so each time.
func TestOfflineWithoutSpaceForItsLog(t *testing.T) {
	o := NewOffline(incident().source(), incidentSettings(full{}))
	for _, run := range []func() error{o.Run, o.Run, func() error { return o.RunTo(incidentBegin.Add(time.Hour)) }} {
		if err := run(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "state log: ") {
			t.Errorf("error %v", err)
		}
	}
	if s := o.Statistics(); s.Received > 100 || s.Log.Queued != s.Applied {
		t.Errorf("it went on: %+v", s)
	}
}
