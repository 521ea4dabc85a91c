package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	// settlePoll is how often the counters are looked at while they settle: at the pace of the log, which writes every
	// 50 ms.
	settlePoll = 50 * time.Millisecond
	// settleQuiet is how long nothing may change before the counters count as final: ten times the 200 ms within which
	// a line is in the log.
	settleQuiet = 2 * time.Second
	// settleLimit ends the wait for counters that neither add up nor rest, such as those of a gateway that others send
	// to: far longer than a full receive buffer and a full log queue take.
	settleLimit = 30 * time.Second
	// uptimeSlack is how much less than the time between two readings the uptime may have grown. Both are measured to
	// the millisecond, the uptime over the longer time.
	uptimeSlack = 500 * time.Millisecond
)

// ledger holds what a gateway's counters were before something was sent to it.
type ledger struct {
	stats  func(context.Context) (gatewayCounters, error)
	before gatewayCounters
	opened time.Time // when before had been read
}

// openLedger reads the counters, with stats, which settle will use too. Nothing may be sent until it returns.
func openLedger(ctx context.Context, stats func(context.Context) (gatewayCounters, error)) (*ledger, error) {
	before, err := stats(ctx)
	if err != nil {
		return nil, err
	}
	return &ledger{stats: stats, before: before, opened: time.Now()}, nil
}

// anyInvalid is for datagrams of which nobody knows how many are to be rejected.
const anyInvalid = -1

// settle waits until the gateway has dealt with the datagrams sent since the ledger was opened, of which invalid were
// made to be rejected (or anyInvalid), and returns their reconciliation: when everything adds up and the log has nothing
// more queued, when nothing has changed for settleQuiet, or when settleLimit is over. An error says that the counters
// could not be read, or are not those of the same run of the gateway.
func (l *ledger) settle(ctx context.Context, sent uint64, invalid int64) (reconciliation, error) {
	begin := time.Now()
	var last gatewayCounters
	var changed time.Time
	for {
		asked := time.Now()
		after, err := l.stats(ctx)
		if err != nil {
			return reconciliation{}, err
		}
		if err := l.sameRun(after, asked); err != nil {
			return reconciliation{}, err
		}
		r := reconcile(l.before, after, sent, invalid)
		if after.Uptime = 0; !reflect.DeepEqual(after, last) || changed.IsZero() {
			last, changed = after, asked
		}
		if len(r.wrong()) == 0 && after.LogQueued == 0 || asked.Sub(changed) >= settleQuiet || asked.Sub(begin) >= settleLimit {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return reconciliation{}, context.Cause(ctx)
		case <-time.After(settlePoll):
		}
	}
}

// sameRun returns an error if after, which was asked for at the given time, counts from another start than before.
func (l *ledger) sameRun(after gatewayCounters, asked time.Time) error {
	before := l.before
	for _, c := range []struct {
		name          string
		before, after int64
	}{
		{"total_received", before.Received, after.Received},
		{"kernel_dropped", before.KernelDropped, after.KernelDropped},
		{"rejected", before.rejected(), after.rejected()},
		{"applied", before.Applied, after.Applied},
		{"duplicate", before.Duplicate, after.Duplicate},
		{"out_of_order", before.OutOfOrder, after.OutOfOrder},
		{"logged", before.Logged, after.Logged},
		{"log_dropped", before.LogDropped, after.LogDropped},
	} {
		if c.after < c.before {
			return fmt.Errorf("the gateway was restarted meanwhile: its %s went back from %d to %d", c.name, c.before, c.after)
		}
	}
	// A gateway that had counted nothing yet leaves no other trace of its restart than a younger age.
	if up := seconds(after.Uptime - before.Uptime); up < asked.Sub(l.opened)-uptimeSlack {
		return fmt.Errorf("the gateway was restarted meanwhile: it has been up for %v, and was for %v already %v ago",
			seconds(after.Uptime), seconds(before.Uptime), asked.Sub(l.opened).Round(time.Millisecond))
	}
	return nil
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

// reconciliation is what became of the datagrams sent, by the gateway's own account.
type reconciliation struct {
	Sent    int64
	Invalid int64           // of these, those made to be rejected, or anyInvalid
	Became  gatewayCounters // the differences of the counters; Uptime is unused
	LogOff  bool            // the gateway has no state log
}

// reconcile returns the reconciliation of the counters before and after.
func reconcile(before, after gatewayCounters, sent uint64, invalid int64) reconciliation {
	rejected := map[string]int64{}
	for reason, n := range after.Rejected {
		if n -= before.Rejected[reason]; n != 0 {
			rejected[reason] = n
		}
	}
	return reconciliation{
		Sent: int64(sent), Invalid: invalid,
		Became: gatewayCounters{
			Received:      after.Received - before.Received,
			KernelDropped: after.KernelDropped - before.KernelDropped,
			Rejected:      rejected,
			Applied:       after.Applied - before.Applied,
			Duplicate:     after.Duplicate - before.Duplicate,
			OutOfOrder:    after.OutOfOrder - before.OutOfOrder,
			Logged:        after.Logged - before.Logged,
			LogDropped:    after.LogDropped - before.LogDropped,
			LogQueued:     after.LogQueued - before.LogQueued,
		},
		LogOff: !after.LogEnabled,
	}
}

// unaccounted is a sum over the counters with what is left of it: 0 when each datagram is in it exactly once.
type unaccounted struct {
	sum  string
	left int64
}

// unaccounted returns the sums, in the order of a datagram's way.
func (r reconciliation) unaccounted() []unaccounted {
	b := r.Became
	sums := []unaccounted{
		{"sent − received − kernel_dropped", r.Sent - b.Received - b.KernelDropped},
		{"received − applied − duplicate − out_of_order − rejected", b.Received - b.Applied - b.Duplicate - b.OutOfOrder - b.rejected()},
	}
	if !r.LogOff {
		sums = append(sums, unaccounted{"applied − logged − log_dropped − log_queued", b.Applied - b.Logged - b.LogDropped - b.LogQueued})
	}
	return sums
}

// wrong returns what does not add up, a line each.
func (r reconciliation) wrong() (lines []string) {
	for _, u := range r.unaccounted() {
		if u.left != 0 {
			lines = append(lines, fmt.Sprintf("unaccounted for: %s = %d, not 0", u.sum, u.left))
		}
	}
	// The kernel's drops may be of either kind, so that without one both limits are the same.
	if rejected := r.Became.rejected(); r.Invalid != anyInvalid && (rejected > r.Invalid || rejected < r.Invalid-r.Became.KernelDropped) {
		text := fmt.Sprintf("rejected %d, but %d were made invalid", rejected, r.Invalid)
		if r.Became.KernelDropped > 0 {
			text += fmt.Sprintf(" and %d dropped by the kernel", r.Became.KernelDropped)
		}
		lines = append(lines, text+reasons(r.Became.Rejected))
	}
	return lines
}

// Err returns nil if everything adds up, else an error with a line for what does not.
func (r reconciliation) Err() error {
	if wrong := r.wrong(); len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

// write writes the account to w, a figure a line.
func (r reconciliation) write(w io.Writer) error {
	b := r.Became
	var text strings.Builder
	for _, f := range []struct {
		name string
		n    int64
		note string
	}{
		{"received", b.Received, ""},
		{"kernel_dropped", b.KernelDropped, ""},
		{"rejected", b.rejected(), reasons(b.Rejected)},
		{"applied", b.Applied, ""},
		{"duplicate", b.Duplicate, ""},
		{"out_of_order", b.OutOfOrder, ""},
		{"logged", b.Logged, ""},
		{"log_dropped", b.LogDropped, ""},
		{"log_queued", b.LogQueued, ""},
	} {
		figure(&text, f.name, f.n, f.note)
	}
	text.WriteString("unaccounted for:\n")
	for _, u := range r.unaccounted() {
		fmt.Fprintf(&text, "  %s = %d\n", u.sum, u.left)
	}
	if r.LogOff {
		text.WriteString("  the gateway's log is off\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// figure writes a line of a report.
func figure(w io.Writer, name string, n int64, note string) {
	fmt.Fprintf(w, "%-14s %12d%s\n", name, n, note)
}

// reasons returns how many of what there were, such as ": json 3, type 1", or "".
func reasons[N int64 | uint64](counts map[string]N) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", reason, counts[reason]))
	}
	if list == nil {
		return ""
	}
	return ": " + strings.Join(list, ", ")
}

func (c gatewayCounters) rejected() (sum int64) {
	for _, n := range c.Rejected {
		sum += n
	}
	return sum
}
