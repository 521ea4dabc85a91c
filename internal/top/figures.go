package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// stats is what is shown of a gateway's /stats.
type stats struct {
	TotalReceived uint64            `json:"total_received"`
	Applied       uint64            `json:"applied"`
	Duplicate     uint64            `json:"duplicate"`
	OutOfOrder    uint64            `json:"out_of_order"`
	InvalidStates uint64            `json:"invalid_states"`
	Rejected      map[string]uint64 `json:"rejected"`
	KernelDropped uint64            `json:"kernel_dropped"`
	LogDropped    uint64            `json:"log_dropped"`
	LogTrouble    string            `json:"log_trouble"`
	UptimeSeconds float64           `json:"uptime_seconds"`
}

// figures are a gateway's counters, and those of a second before.
type figures struct {
	last, before stats
	at           time.Time // of the last answer; zero before the first
	err          error     // why there is none since
}

// add takes an answer, or why there is none.
func (f *figures) add(answer statsMsg) {
	if f.err = answer.err; f.err != nil {
		return
	}
	f.before, f.last, f.at = f.last, answer.stats, answer.at
	if f.last.UptimeSeconds < f.before.UptimeSeconds { // another process, which has counted from 0
		f.before = stats{}
	}
}

// rate returns how much a counter grows in a second, 0 as long as that is not known.
func (f *figures) rate(counter func(*stats) uint64) float64 {
	seconds := f.last.UptimeSeconds - f.before.UptimeSeconds
	last, before := counter(&f.last), counter(&f.before)
	if f.before.UptimeSeconds == 0 || seconds <= 0 || last < before {
		return 0
	}
	return float64(last-before) / seconds
}

// segments returns what is said of the figures, in pieces that stay together on a line.
func (f *figures) segments(now time.Time) []segment {
	if f.at.IsZero() {
		if f.err != nil {
			return []segment{{"no figures: " + plain(f.err.Error()), warning}}
		}
		return nil
	}
	all := []segment{
		{decimal(f.rate(func(s *stats) uint64 { return s.TotalReceived })) + " datagrams/s", normal},
		{decimal(f.rate(func(s *stats) uint64 { return s.Applied })) + " applied/s", normal},
	}
	for _, loss := range []struct {
		counter func(*stats) uint64
		name    string
	}{
		{func(s *stats) uint64 { return s.InvalidStates }, "rejected" + reasons(f.last.Rejected)},
		{func(s *stats) uint64 { return s.OutOfOrder }, "out of order"},
		{func(s *stats) uint64 { return s.KernelDropped }, "kernel drops"},
		{func(s *stats) uint64 { return s.LogDropped }, "log drops"},
	} {
		text, s := fmt.Sprintf("%d %s", loss.counter(&f.last), loss.name), normal
		if loss.counter(&f.last) > 0 {
			s = warning
		}
		if rate := f.rate(loss.counter); rate > 0 {
			text, s = text+" (+"+decimal(rate)+"/s)", alarm
		}
		all = append(all, segment{text, s})
	}
	if f.last.LogTrouble != "" {
		all = append(all, segment{"log: " + plain(f.last.LogTrouble), alarm})
	}
	if f.err != nil {
		all = append(all, segment{"figures of " + span(now.Sub(f.at)) + " ago: " + plain(f.err.Error()), warning})
	}
	return all
}

// reasons returns the reasons that have been, such as " (json 3, type 1)".
func reasons(rejected map[string]uint64) string {
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(rejected)) {
		if n := rejected[reason]; n > 0 {
			all = append(all, fmt.Sprintf("%s %d", plain(reason), n))
		}
	}
	if all == nil {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

const (
	statsInterval = time.Second
	statsTimeout  = 2 * time.Second
	largestStats  = 64 << 10 // bytes; an answer has about two thousand
)

// poll asks a gateway for its figures until ctx is done, and tells what it answers.
func poll(ctx context.Context, gateway int, base string, tell func(statsMsg)) {
	address, err := url.JoinPath(base, "stats")
	if err != nil {
		tell(statsMsg{gateway: gateway, err: err})
		return
	}
	client := &http.Client{
		Timeout: statsTimeout,
		// As the client's own connections: no proxy, and no other address than the one that was given.
		Transport:     &http.Transport{DialContext: (&net.Dialer{}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(statsInterval)
	defer tick.Stop()
	for {
		s, err := ask(ctx, client, address)
		tell(statsMsg{gateway: gateway, stats: s, err: err, at: time.Now()})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func ask(ctx context.Context, client *http.Client, address string) (s stats, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return s, err
	}
	response, err := client.Do(request)
	if err != nil {
		if operation, ok := errors.AsType[*net.OpError](err); ok {
			err = operation.Err
		}
		return s, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s, fmt.Errorf("/stats answers %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, largestStats)).Decode(&s); err != nil {
		return s, fmt.Errorf("/stats is not understood: %w", err)
	}
	return s, nil
}
