package api

import (
	"bytes"
	"net/http"
	"net/url"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/elrar/state-gateway/state"
)

const (
	// namespace is what the name of every metric of this program begins with; see engineNamespace for those of engines.
	namespace = "elrar_gateway"

	// metricsType is the one form of /metrics, Prometheus' text. Every scraper takes it.
	metricsType = "text/plain; version=" + expfmt.TextVersion + "; charset=utf-8"
)

// metrics is the registry behind /metrics, and the account of the HTTP requests themselves.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	watchers    prometheus.Gauge
	watchEvents [eventKinds]prometheus.Counter
	evicted     prometheus.Counter
	connections *prometheus.CounterVec // by listener and result

	engineStatesAges, enginesAges, watchAges *servedAges
}

func newMetrics(gw Gateway, info Info) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "http_requests_total",
			Help:      "HTTP requests answered.",
		}, []string{"handler", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace,
			Name:      "http_request_duration_seconds",
			Help:      "Time from a request's headers to the end of its answer, which a slow reader prolongs.",
			// 0.1 ms, a small answer, to 26 s, just under the write timeout.
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"handler"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace,
			Name:      "watchers",
			Help:      "Clients that watch now.",
		}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "watchers_evicted_total",
			Help:      "Watchers cut off because they did not take their events in time.",
		}),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "http_connections_total",
			Help:      "TCP connections that were accepted, closed again to make room for another, or refused for want of room.",
		}, []string{"listener", "result"}),
		engineStatesAges: newServedAges("engine_states"),
		enginesAges:      newServedAges("engines"),
		watchAges:        newServedAges("watch"),
	}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace,
		Name:      "watch_events_total",
		Help:      "Events written to watchers.",
	}, []string{"event"})
	for kind := range eventKinds {
		m.watchEvents[kind] = events.WithLabelValues(kind.String())
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace:   namespace,
		Name:        "build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": info.Version, "revision": info.Revision, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		newCollector(gw),
		m.requests,
		m.duration,
		build,
		m.watchers,
		events,
		m.evicted,
		m.connections,
		m.engineStatesAges,
		m.enginesAges,
		m.watchAges,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if info.MessagesDropped != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "messages_dropped_total",
			Help:      "Messages of the gateway itself that nobody read.",
		}, func() float64 { return float64(info.MessagesDropped()) }))
	}
	m.connectionsOf("http")
	m.connectionsOf("health")
	return m
}

// connectionsOf returns the counters of a listener's connections, by result.
func (m *metrics) connectionsOf(listener string) *prometheus.CounterVec {
	results := m.connections.MustCurryWith(prometheus.Labels{"listener": listener})
	for _, result := range []string{"accepted", "evicted", "refused"} {
		results.WithLabelValues(result) // which is 0, and not unknown
	}
	return results
}

// count counts what next answers, under the name handler.
func (m *metrics) count(handler string, next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(prometheus.Labels{"handler": handler}), next)
}

// instrument counts and times what next answers, under the name handler.
func (m *metrics) instrument(handler string, next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerDuration(m.duration.MustCurryWith(prometheus.Labels{"handler": handler}), m.count(handler, next))
}

// renderMetrics appends the exposition: the registry's by the library, the engines' by appendEngineMetrics.
func (a *api) renderMetrics(dst []byte, _ url.Values) ([]byte, *problem) {
	families, err := a.metrics.registry.Gather()
	if err != nil {
		return nil, problemf(http.StatusInternalServerError, "the metrics cannot be gathered: %s", err)
	}
	text := bytes.NewBuffer(dst)
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(text, family); err != nil {
			return nil, problemf(http.StatusInternalServerError, "a metric cannot be written: %s", err)
		}
	}
	dst = text.Bytes()
	if a.info.EngineMetrics {
		list := a.lists.Get().(*[]state.Held)
		defer a.lists.Put(list)
		*list = a.appendEngines((*list)[:0], allEngines)
		dst = appendEngineMetrics(dst, *list, a.gateway.Now(), &a.info.Rules)
	}
	return bytes.TrimSuffix(dst, []byte{'\n'}), nil // which every answer gets
}
