package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Gateway is what a running gateway says over HTTP, at two moments.
type Gateway struct {
	Version string
	Live    string // why it is not live; "" = it is
	Ready   string // why it is not ready; "" = it is
	Before  Stats
	After   Stats
	Watched time.Duration // between the two
	Engines []Engine

	// Of /metrics, if it is to be had.
	Buffers   []int // granted receive buffer of each socket, bytes
	Intruders int   // sockets of other processes on its port
}

// Stats is what of /stats matters here.
type Stats struct {
	TotalReceived     uint64            `json:"total_received"`
	BroadcastReceived uint64            `json:"broadcast_received"`
	NetworkMode       string            `json:"network_mode"`
	BindAddress       string            `json:"bind_address"`
	UDPPort           uint16            `json:"udp_port"`
	ActiveEngines     int               `json:"active_engines"`
	TotalEngines      int               `json:"total_engines"`
	Applied           uint64            `json:"applied"`
	Duplicate         uint64            `json:"duplicate"`
	OutOfOrder        uint64            `json:"out_of_order"`
	Rejected          map[string]uint64 `json:"rejected"`
	KernelDropped     uint64            `json:"kernel_dropped"`
	LogEnabled        bool              `json:"log_enabled"`
	Logged            uint64            `json:"logged"`
	LogDropped        uint64            `json:"log_dropped"`
	LogTrouble        string            `json:"log_trouble"` // "" also for null
	UptimeSeconds     float64           `json:"uptime_seconds"`
	Version           string            `json:"version"`
}

// rejected returns the sum over all reasons.
func (s Stats) rejected() (n uint64) {
	for _, m := range s.Rejected {
		n += m
	}
	return n
}

// Engine is what of an engine of /v1/engines matters here.
type Engine struct {
	EngineID       string  `json:"engine_id"`
	Status         string  `json:"status"`
	AgeMs          float64 `json:"age_ms"`
	ClockSkewMs    int64   `json:"clock_skew_ms"`
	PushIntervalMs float64 `json:"push_interval_ms"` // 0 also for null
	SourceAddr     string  `json:"source_addr"`      // "" also for null
	Conflict       bool    `json:"conflict"`
}

// asker asks one gateway.
type asker struct {
	url    string // without a path
	client *http.Client
}

// answerTimeout is for one answer; a gateway gives it within milliseconds.
const answerTimeout = 3 * time.Second

func newAsker(url string) asker {
	return asker{strings.TrimSuffix(url, "/"), &http.Client{
		Timeout:       answerTimeout,
		Transport:     &http.Transport{}, // no proxy: the answer must be this address's own
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// redacted returns a URL to show: without the password, if there is one.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL that cannot be read"
	}
	return u.Redacted()
}

// get returns the status and the beginning of the body of the answer to a path.
func (a asker) get(ctx context.Context, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the method and the URL, which the finding has
		}
		return 0, nil, err
	}
	defer response.Body.Close()
	const most = 64 << 20 // far more than the engines of a large fleet
	body, err = io.ReadAll(io.LimitReader(response.Body, most))
	return response.StatusCode, body, err
}

// stats returns what /stats says; an error also if it is no gateway's.
func (a asker) stats(ctx context.Context) (s Stats, err error) {
	status, body, err := a.get(ctx, "/stats")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); status != http.StatusOK || err != nil || s.Rejected == nil {
		return s, fmt.Errorf("/stats is no gateway's answer (status %d, %d bytes)", status, len(body))
	}
	return s, nil
}

// health returns why /livez or /readyz does not say so, or "".
func (a asker) health(ctx context.Context, path string) string {
	status, body, err := a.get(ctx, path)
	var problem struct{ Detail string }
	switch {
	case err != nil:
		return err.Error()
	case status == http.StatusOK:
		return ""
	case json.Unmarshal(body, &problem) == nil && problem.Detail != "":
		return strings.TrimPrefix(strings.TrimPrefix(problem.Detail, "not live: "), "not ready: ")
	default:
		return fmt.Sprintf("status %d", status)
	}
}

func (a asker) engines(ctx context.Context) []Engine {
	var answer struct{ Engines []Engine }
	if status, body, err := a.get(ctx, "/v1/engines"); err != nil || status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return nil
	}
	return answer.Engines
}

// sockets returns what /metrics says of the sockets.
func (a asker) sockets(ctx context.Context) (buffers []int, intruders int) {
	status, body, err := a.get(ctx, "/metrics")
	if err != nil || status != http.StatusOK {
		return nil, 0
	}
	return parseMetrics(string(body))
}

func parseMetrics(metrics string) (buffers []int, intruders int) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(metrics))
	if err != nil {
		return nil, 0
	}
	for _, m := range families["elrar_gateway_receive_buffer_bytes"].GetMetric() {
		buffers = append(buffers, int(m.GetGauge().GetValue()))
	}
	for _, m := range families["elrar_gateway_intruding_sockets"].GetMetric() {
		intruders = int(m.GetGauge().GetValue())
	}
	return buffers, intruders
}
