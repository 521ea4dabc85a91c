package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReconcile(t *testing.T) {
	before := gatewayCounters{Received: 100, KernelDropped: 3, Rejected: map[string]int64{"json": 7, "type": 0}, Applied: 80,
		Duplicate: 8, OutOfOrder: 5, LogEnabled: true, Logged: 70, LogDropped: 6, LogQueued: 4, Uptime: 10}
	for _, test := range []struct {
		name    string
		sent    uint64
		invalid int64
		became  func(*gatewayCounters)
		want    []string
	}{
		{"nothing", 0, 0, func(*gatewayCounters) {}, nil},
		{"every way that a datagram can take", 20, 5, func(c *gatewayCounters) {
			c.Received += 17
			c.KernelDropped += 3
			c.Rejected = map[string]int64{"json": 9, "type": 1}
			c.Applied += 8
			c.Duplicate += 4
			c.OutOfOrder += 2
			c.Logged += 10
			c.LogDropped += 1
			c.LogQueued -= 3
		}, nil},
		{"lost on the way", 10, 0, func(c *gatewayCounters) { c.Received += 8; c.Applied += 8; c.Logged += 8 },
			[]string{"unaccounted for: sent − received − kernel_dropped = 2, not 0"}},
		{"others send too", 10, 0, func(c *gatewayCounters) { c.Received += 12; c.Applied += 12; c.Logged += 12 },
			[]string{"unaccounted for: sent − received − kernel_dropped = -2, not 0"}},
		{"lost in the gateway", 10, 0, func(c *gatewayCounters) { c.Received += 10; c.Applied += 9; c.Logged += 9 },
			[]string{"unaccounted for: received − applied − duplicate − out_of_order − rejected = 1, not 0"}},
		{"lost before the log", 10, 0, func(c *gatewayCounters) { c.Received += 10; c.Applied += 10; c.Logged += 7; c.LogQueued += 1 },
			[]string{"unaccounted for: applied − logged − log_dropped − log_queued = 2, not 0"}},
		{"logged twice", 1, 0, func(c *gatewayCounters) { c.Received++; c.Applied++; c.Logged += 2 },
			[]string{"unaccounted for: applied − logged − log_dropped − log_queued = -1, not 0"}},
		{"all three", 10, 0, func(c *gatewayCounters) { c.Received += 9; c.Applied += 8; c.Logged += 7 }, []string{
			"unaccounted for: sent − received − kernel_dropped = 1, not 0",
			"unaccounted for: received − applied − duplicate − out_of_order − rejected = 1, not 0",
			"unaccounted for: applied − logged − log_dropped − log_queued = 1, not 0"}},
		{"invalid accepted", 10, 5, func(c *gatewayCounters) {
			c.Received += 10
			c.Applied += 6
			c.Logged += 6
			c.Rejected = map[string]int64{"json": 11}
		}, []string{"rejected 4, but 5 were made invalid: json 4"}},
		{"some rejected, nobody knew how many", 10, anyInvalid, func(c *gatewayCounters) {
			c.Received += 10
			c.Applied += 6
			c.Logged += 6
			c.Rejected = map[string]int64{"json": 11}
		}, nil},
		{"valid rejected", 10, 0, func(c *gatewayCounters) {
			c.Received += 10
			c.Applied += 7
			c.Logged += 7
			c.Rejected = map[string]int64{"json": 7, "type": 1, "engine_limit": 2}
		}, []string{"rejected 3, but 0 were made invalid: engine_limit 2, type 1"}},
		{"nothing but invalid ones dropped by the kernel", 10, 5, func(c *gatewayCounters) {
			c.Received += 8
			c.KernelDropped += 2
			c.Applied += 5
			c.Logged += 5
			c.Rejected = map[string]int64{"json": 10}
		}, nil},
		{"more invalid gone than dropped", 10, 5, func(c *gatewayCounters) {
			c.Received += 8
			c.KernelDropped += 2
			c.Applied += 6
			c.Logged += 6
			c.Rejected = map[string]int64{"json": 9}
		}, []string{"rejected 2, but 5 were made invalid and 2 dropped by the kernel: json 2"}},
		{"log on, and nothing in it", 10, 0, func(c *gatewayCounters) {
			c.Received += 10
			c.Applied += 10
			c.Logged, c.LogDropped, c.LogQueued = 0, 0, 0
		}, []string{"unaccounted for: applied − logged − log_dropped − log_queued = 90, not 0"}},
		{"log off", 10, 0, func(c *gatewayCounters) {
			c.Received += 10
			c.Applied += 10
			c.LogEnabled, c.Logged, c.LogDropped, c.LogQueued = false, 0, 0, 0
		}, nil},
	} {
		after := before
		test.became(&after)
		r := reconcile(before, after, test.sent, test.invalid)
		if got := r.wrong(); !slices.Equal(got, test.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", test.name, got, test.want)
		}
		if err := r.Err(); (err == nil) != (test.want == nil) || err != nil && err.Error() != strings.Join(test.want, "\n") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestReconciliationWrites(t *testing.T) {
	after := gatewayCounters{Received: 20, KernelDropped: 3, Rejected: map[string]int64{"json": 2, "type": 1, "range": 0}, Applied: 12,
		Duplicate: 4, OutOfOrder: 1, LogEnabled: true, Logged: 10, LogDropped: 1, LogQueued: 0}
	var got strings.Builder
	if err := reconcile(gatewayCounters{}, after, 23, 3).write(&got); err != nil {
		t.Fatal(err)
	}
	const want = `received                 20
kernel_dropped            3
rejected                  3: json 2, type 1
applied                  12
duplicate                 4
out_of_order              1
logged                   10
log_dropped               1
log_queued                0
unaccounted for:
  sent − received − kernel_dropped = 0
  received − applied − duplicate − out_of_order − rejected = 0
  applied − logged − log_dropped − log_queued = 1
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	got.Reset()
	if err := reconcile(gatewayCounters{}, gatewayCounters{Received: 1, Applied: 1}, 1, 0).write(&got); err != nil ||
		!strings.HasSuffix(got.String(), "rejected = 0\n  the gateway's log is off\n") {
		t.Errorf("log off: %v\n%s", err, got.String())
	}
}

// fakeStats answers with the counters that at gives for the time since the fake's making.
func fakeStats(at func(since time.Duration) gatewayCounters) func(context.Context) (gatewayCounters, error) {
	begin := time.Now()
	return func(context.Context) (gatewayCounters, error) {
		since := time.Since(begin)
		c := at(since)
		c.LogEnabled = true
		if c.Uptime == 0 {
			c.Uptime = 5 + since.Seconds()
		}
		return c, nil
	}
}

func TestSettle(t *testing.T) {
	done := gatewayCounters{Received: 10, Applied: 10, Logged: 10}
	for _, test := range []struct {
		name  string
		at    func(since time.Duration) gatewayCounters
		takes time.Duration
		wrong int // lines
	}{
		{"at once", func(since time.Duration) gatewayCounters {
			if since == 0 {
				return gatewayCounters{}
			}
			return done
		}, 0, 0},
		{"the log is behind", func(since time.Duration) gatewayCounters {
			switch {
			case since == 0:
				return gatewayCounters{}
			case since < 4*time.Second:
				return gatewayCounters{Received: 10, Applied: 10, LogQueued: 10 - int64(since/time.Second), Logged: int64(since / time.Second)}
			}
			return done
		}, 3 * time.Second, 0},
		{"the log is stuck", func(since time.Duration) gatewayCounters {
			if since == 0 {
				return gatewayCounters{}
			}
			return gatewayCounters{Received: 10, Applied: 10, LogQueued: 10}
		}, settleQuiet, 0},
		{"a pause, then the rest", func(since time.Duration) gatewayCounters {
			switch {
			case since == 0:
				return gatewayCounters{}
			case since < 2500*time.Millisecond:
				return gatewayCounters{Received: 5, Applied: 5, Logged: 5}
			}
			return done
		}, 1500 * time.Millisecond, 0},
		{"nothing arrives", func(time.Duration) gatewayCounters { return gatewayCounters{} }, settleQuiet, 1},
		{"others go on", func(since time.Duration) gatewayCounters {
			n := 100 * int64(since/time.Millisecond)
			return gatewayCounters{Received: n, Applied: n, Logged: n}
		}, settleLimit, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, err := openLedger(t.Context(), fakeStats(test.at))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // the load
			begin := time.Now()
			r, err := l.settle(t.Context(), 10, 0)
			if took := time.Since(begin); err != nil || took != test.takes || len(r.wrong()) != test.wrong {
				t.Errorf("%s: %v, after %v instead of %v: %q", test.name, err, took, test.takes, r.wrong())
			}
		})
	}
}

func TestSettleFails(t *testing.T) {
	after := gatewayCounters{Received: 10, KernelDropped: 1, Rejected: map[string]int64{"json": 2}, Applied: 4, Duplicate: 1, OutOfOrder: 1, Logged: 3, LogDropped: 1}
	for _, test := range []struct {
		name string
		back func(*gatewayCounters)
		want string
	}{
		{"received", func(c *gatewayCounters) { c.Received-- }, "its total_received went back from 10 to 9"},
		{"kernel_dropped", func(c *gatewayCounters) { c.KernelDropped-- }, "its kernel_dropped went back from 1 to 0"},
		{"rejected", func(c *gatewayCounters) { c.Rejected = nil }, "its rejected went back from 2 to 0"},
		{"applied", func(c *gatewayCounters) { c.Applied-- }, "its applied went back from 4 to 3"},
		{"duplicate", func(c *gatewayCounters) { c.Duplicate-- }, "its duplicate went back from 1 to 0"},
		{"out_of_order", func(c *gatewayCounters) { c.OutOfOrder-- }, "its out_of_order went back from 1 to 0"},
		{"logged", func(c *gatewayCounters) { c.Logged-- }, "its logged went back from 3 to 2"},
		{"log_dropped", func(c *gatewayCounters) { c.LogDropped-- }, "its log_dropped went back from 1 to 0"},
		{"younger than before", func(c *gatewayCounters) { c.Uptime = 1 }, "it has been up for 1s, and was for 5s already 10s ago"},
		{"too young for the time between", func(c *gatewayCounters) { c.Uptime = 8 }, "it has been up for 8s, and was for 5s already 10s ago"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, err := openLedger(t.Context(), fakeStats(func(since time.Duration) gatewayCounters {
				c := after
				if since > 0 {
					test.back(&c)
				}
				return c
			}))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if _, err := l.settle(t.Context(), 0, 0); err == nil || err.Error() != "the gateway was restarted meanwhile: "+test.want {
				t.Errorf("%s: %v", test.name, err)
			}
		})
	}

	gone := errors.New("gone")
	answers := 0
	stats := func(context.Context) (gatewayCounters, error) {
		if answers++; answers%2 == 0 {
			return gatewayCounters{}, gone
		}
		return gatewayCounters{}, nil
	}
	l, err := openLedger(t.Context(), stats)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.settle(t.Context(), 0, 0); err != gone {
		t.Errorf("no answer at the end: %v", err)
	}
	answers++
	if _, err := openLedger(t.Context(), stats); err != gone {
		t.Errorf("no answer at the start: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	l.stats = fakeStats(func(time.Duration) gatewayCounters { return gatewayCounters{} })
	if _, err := l.settle(ctx, 1, 0); err != gone {
		t.Errorf("cancelled: %v", err)
	}
}

const statsText = `{"total_received": 9, "valid_states": 7, "applied": 4, "duplicate": 2, "out_of_order": 1, "rejected": {"empty": 0, "json": 2},
	"kernel_dropped": 5, "log_enabled": true, "logged": 3, "log_dropped": 1, "log_queued": 0, "uptime_seconds": 1.25, "version": "1.2.3"}`

func TestStatsReader(t *testing.T) {
	for _, test := range []struct {
		name, path string
		status     int
		body, want string // want is an error's text
	}{
		{"a gateway", "", 200, statsText, ""},
		{"with a slash", "/", 200, statsText, ""},
		{"another status", "", 404, "", "404 Not Found"},
		{"a redirect", "", 302, "", "302 Found"},
		{"no JSON", "", 200, "<html>", "invalid character"},
		{"no object", "", 200, "[]", "cannot unmarshal array"},
		{"another server", "", 200, `{"total_received": 1}`, `it has no "kernel_dropped"`},
		{"a counter of another type", "", 200, strings.Replace(statsText, "9", `"9"`, 1), "cannot unmarshal string"},
		{"endless", "", 200, statsText[:len(statsText)-1] + strings.Repeat(" ", 1<<20) + "}", "unexpected end"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/stats" {
				t.Errorf("asked %s %s", r.Method, r.URL)
			}
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte(test.body))
		}))
		base, err := url.Parse(server.URL + test.path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := statsReader(base)(t.Context())
		server.Close()
		if test.want != "" {
			if prefix := server.URL + "/stats does not answer with a state gateway's counters: "; err == nil ||
				!strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want …%s", test.name, err, test.want)
			}
			continue
		}
		if err != nil || c.Received != 9 || c.Applied != 4 || c.Duplicate != 2 || c.OutOfOrder != 1 || c.rejected() != 2 ||
			c.KernelDropped != 5 || !c.LogEnabled || c.Logged != 3 || c.LogDropped != 1 || c.LogQueued != 0 || c.Uptime != 1.25 {
			t.Errorf("%s: %+v, %v", test.name, c, err)
		}
	}

	closed := httptest.NewServer(nil)
	base, err := url.Parse(strings.Replace(closed.URL, "//", "//user:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, err = statsReader(base)(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot be read") || strings.Contains(err.Error(), "secret") || strings.Count(err.Error(), "/stats") != 1 {
		t.Errorf("nobody there: %v", err)
	}
}
