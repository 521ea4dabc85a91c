package api

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

// collector shows the gateway's counters as metrics. They are kept where the work is done, as plain atomics; a scrape
// reads them once, and nothing is looked up by label while datagrams arrive.
type collector struct {
	gateway  Gateway
	families []family
}

// family is one metric name: its description, and how its samples are read off the statistics.
type family struct {
	desc    *prometheus.Desc
	kind    prometheus.ValueType
	samples func(s *gateway.Statistics, put put)
}

// put takes one sample: its value and the values of its family's labels.
type put func(value float64, labels ...string)

func newCollector(gw Gateway) *collector {
	c := &collector{gateway: gw}
	add := func(kind prometheus.ValueType, name, help string, labels []string, samples func(*gateway.Statistics, put)) {
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
		c.families = append(c.families, family{desc, kind, samples})
	}
	counters := func(name, help, label string, samples func(*gateway.Statistics, put)) {
		add(prometheus.CounterValue, name, help, []string{label}, samples)
	}
	gauge := func(name, help string, value func(*gateway.Statistics) float64) {
		add(prometheus.GaugeValue, name, help, nil, func(s *gateway.Statistics, put put) { put(value(s)) })
	}
	gauges := func(name, help, label string, samples func(*gateway.Statistics, put)) {
		add(prometheus.GaugeValue, name, help, []string{label}, samples)
	}
	counter := func(name, help string, value func(*gateway.Statistics) uint64) {
		add(prometheus.CounterValue, name, help, nil, func(s *gateway.Statistics, put put) { put(float64(value(s))) })
	}

	counters("datagrams_received_total", "Datagrams that reached the gateway.", "transport", func(s *gateway.Statistics, put put) {
		put(float64(s.Unicast), "unicast")
		put(float64(s.Broadcast), "broadcast")
	})
	counter("receive_bytes_total", "Payload bytes of the datagrams received.", func(s *gateway.Statistics) uint64 { return s.Bytes })
	counters("datagrams_rejected_total", "Datagrams that are no valid state, or of an engine too many.", "reason", func(s *gateway.Statistics, put put) {
		for r := state.Accepted + 1; int(r) < state.Reasons; r++ {
			put(float64(s.Rejected[r]), r.String())
		}
	})
	counters("kernel_dropped_total", "Datagrams that the kernel dropped before the gateway could read them.", "socket", func(s *gateway.Statistics, put put) {
		for i := range s.Sockets {
			put(float64(s.Sockets[i].KernelDropped), strconv.Itoa(i))
		}
	})
	gauges("receive_buffer_bytes", "Size of the socket's receive buffer that the kernel granted.", "socket", func(s *gateway.Statistics, put put) {
		for i := range s.Sockets {
			put(float64(s.Sockets[i].ReceiveBuffer), strconv.Itoa(i))
		}
	})
	counter("states_applied_total", "States that became the newest of their engine.", func(s *gateway.Statistics) uint64 { return s.Applied })
	counter("states_duplicate_total", "Valid states that were held already.", func(s *gateway.Statistics) uint64 { return s.Duplicate })
	counter("states_out_of_order_total", "Valid states older than the one held, not applied.", func(s *gateway.Statistics) uint64 { return s.OutOfOrder })
	counter("clock_resets_total", "Applied states that set their engine's time back.", func(s *gateway.Statistics) uint64 { return s.ClockReset })
	counter("heartbeats_total", "Applied states that were heartbeats or init states.", func(s *gateway.Statistics) uint64 { return s.Heartbeats })
	counter("initializations_total", "Engines that an init state or a heartbeat made known.", func(s *gateway.Statistics) uint64 { return s.Initialized })
	counter("identity_conflicts_total", "Times that several senders were found to use one engine_id.", func(s *gateway.Statistics) uint64 { return s.Conflicts })
	counter("read_errors_total", "Failed reads of the UDP sockets.", func(s *gateway.Statistics) uint64 { return s.ReadErrors })
	gauge("intruding_sockets", "UDP sockets of other processes that share the port and take a part of the states.", func(s *gateway.Statistics) float64 { return float64(s.Intruders) })
	gauges("engines", "Engines held.", "status", func(s *gateway.Statistics, put put) {
		for status := range state.Status(state.Statuses) {
			put(float64(s.Engines[status]), status.String())
		}
	})
	counter("engines_removed_total", "Engines removed after their silence.", func(s *gateway.Statistics) uint64 { return s.Removed })
	counter("engines_replaced_total", "Engines that lost their place in a full table to a new one.", func(s *gateway.Statistics) uint64 { return s.Replaced })
	counter("log_written_total", "Lines written to the state log.", func(s *gateway.Statistics) uint64 { return s.Log.Written })
	counters("log_dropped_total", "Lines that will never be in the state log.", "reason", func(s *gateway.Statistics, put put) {
		put(float64(s.Log.DroppedRing), "ring_full")
		put(float64(s.Log.DroppedDisk), "disk")
		put(float64(s.Log.DroppedSpace), "space")
	})
	counter("log_bytes_total", "Bytes written to the state log.", func(s *gateway.Statistics) uint64 { return s.Log.Bytes })
	gauge("log_queued", "Lines accepted for the state log and neither written nor dropped yet.", func(s *gateway.Statistics) float64 { return float64(s.Log.Queued) })
	counters("log_errors_total", "Failed operations on the state log's file.", "op", func(s *gateway.Statistics, put put) {
		for _, e := range s.Log.ErrorsByOp {
			put(float64(e.Errors), e.Op)
		}
	})
	counter("log_reopens_total", "Times that the state log went on in another file.", func(s *gateway.Statistics) uint64 { return s.Log.Reopens })
	counter("log_torn_lines_total", "Torn last lines cut off the state log.", func(s *gateway.Statistics) uint64 { return s.Log.Torn })
	gauge("log_lag_seconds", "Age of the oldest line that waits to be written to the state log.", func(s *gateway.Statistics) float64 { return s.Log.Lag.Seconds() })
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range c.families {
		descs <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.gateway.Statistics()
	for _, f := range c.families {
		f.samples(&s, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}
