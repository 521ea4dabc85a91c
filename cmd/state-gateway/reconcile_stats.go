package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// statsTimeout is how long an answer of /stats may take. It takes less than 1 ms, unless a load has all the cores.
const statsTimeout = 5 * time.Second

// gatewayCounters are those of a gateway's /stats that say what became of each datagram. Signed, since differences of
// them are made and log_queued is a gauge.
type gatewayCounters struct {
	Received      int64            `json:"total_received"`
	KernelDropped int64            `json:"kernel_dropped"`
	Rejected      map[string]int64 `json:"rejected"` // by reason
	Applied       int64            `json:"applied"`
	Duplicate     int64            `json:"duplicate"`
	OutOfOrder    int64            `json:"out_of_order"`
	LogEnabled    bool             `json:"log_enabled"`
	Logged        int64            `json:"logged"`
	LogDropped    int64            `json:"log_dropped"`
	LogQueued     int64            `json:"log_queued"`
	Uptime        float64          `json:"uptime_seconds"`
}

// counterNames are the names above: an answer that lacks one is not a gateway's.
var counterNames = []string{"total_received", "kernel_dropped", "rejected", "applied", "duplicate", "out_of_order",
	"log_enabled", "logged", "log_dropped", "log_queued", "uptime_seconds"}

// statsReader returns a function that reads the counters of the gateway at base, such as http://127.0.0.1:8080. Its
// errors are whole sentences. It is for one goroutine at a time.
func statsReader(base *url.URL) func(context.Context) (gatewayCounters, error) {
	client := &http.Client{
		Timeout:       statsTimeout,
		Transport:     &http.Transport{}, // no proxy: the counters must be this address's own
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	stats := base.JoinPath("stats")
	from := stats.Redacted()
	return func(ctx context.Context) (gatewayCounters, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, stats.String(), nil)
		if err != nil {
			return gatewayCounters{}, err
		}
		response, err := client.Do(request)
		if err != nil {
			if trouble, ok := errors.AsType[*url.Error](err); ok {
				err = trouble.Err // the text of the rest is below
			}
			return gatewayCounters{}, fmt.Errorf("the gateway's counters at %s cannot be read: %w", from, err)
		}
		defer response.Body.Close()
		c, err := readCounters(response)
		if err != nil {
			return gatewayCounters{}, fmt.Errorf("%s does not answer with a state gateway's counters: %w", from, err)
		}
		return c, nil
	}
}

func readCounters(response *http.Response) (c gatewayCounters, err error) {
	const most = 64 << 10 // bytes; a gateway's are about 1 KB
	if response.StatusCode != http.StatusOK {
		return c, errors.New(oneLine(response.Status))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return c, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return c, err
	}
	if i := slices.IndexFunc(counterNames, func(name string) bool { return members[name] == nil }); i >= 0 {
		return c, fmt.Errorf("it has no %q", counterNames[i])
	}
	return c, json.Unmarshal(body, &c)
}
