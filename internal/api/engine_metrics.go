package api

import (
	"strconv"
	"time"

	"github.com/elrar/state-gateway/state"
)

// engineNamespace is what the name of every metric of one engine begins with.
const engineNamespace = "elrar_engine_"

// engineGauge is a metric that every engine has one sample of, or none where ok is false: what is not known is left
// out, so that no -1 gets into anybody's sums.
type engineGauge struct {
	name, help string
	value      func(h *state.Held, now state.Instant, r *state.Rules) (value float64, ok bool)
}

// engineGauges returns the metrics of each engine but for scheduling_mode, whose labels are others.
func engineGauges() []engineGauge {
	return []engineGauge{
		{"up", "1 if the engine has been heard of lately, 0 if its state is stale.",
			func(h *state.Held, now state.Instant, r *state.Rules) (float64, bool) {
				if h.Status(now, r) == state.Stale {
					return 0, true
				}
				return 1, true
			}},
		{"last_receive_timestamp_seconds", "When the newest applied state arrived, heartbeat or not, on this host's clock.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return float64(h.Received.Wall) / float64(time.Second), true
			}},
		{"last_load_timestamp_seconds", "The newest real state's own timestamp, on the engine's clock.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return float64(h.LoadTimestampMs) / 1000, h.LoadTimestampMs != state.NoLoad
			}},
		{"clock_skew_seconds", "Smallest difference of arrival and timestamp in the last minute; positive means that the engine's clock is behind.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return float64(h.ClockSkewMs) / 1000, true
			}},
		{"latency_prediction_seconds", "Predicted latency of the engine's next scheduling step.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return h.LatencyPredMs / 1000, true
			}},
		{"pending_tokens", "Tokens that wait in the engine's queue.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return float64(h.PendingTokensTotal), true
			}},
		{"capacity_tokens_per_second", "The engine's baseline capability.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return h.EngineCapacity, h.LoadTimestampMs != state.NoLoad
			}},
		{"kv_cache_free_blocks", "Free blocks of the engine's KV cache.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return float64(h.KVCacheFreeBlocks), h.KVCacheFreeBlocks != state.Unknown
			}},
		{"kv_cache_blocks", "All blocks of the engine's KV cache.",
			func(h *state.Held, _ state.Instant, _ *state.Rules) (float64, bool) {
				return float64(h.KVCacheTotalBlocks), h.KVCacheTotalBlocks != state.Unknown
			}},
	}
}

// appendEngineMetrics appends the metrics of each engine in Prometheus' text. It is not done by the client library,
// whose collectors allocate some 600 bytes a sample: ten samples of 10,000 engines would be 60 MB a scrape, and take
// seven times as long.
func appendEngineMetrics(dst []byte, engines []state.Held, now state.Instant, r *state.Rules) []byte {
	for _, g := range engineGauges() {
		dst = appendGaugeHeader(dst, g.name, g.help)
		for i := range engines {
			value, ok := g.value(&engines[i], now, r)
			if !ok {
				continue
			}
			dst = append(dst, engineNamespace...)
			dst = append(dst, g.name...)
			dst = append(dst, `{engine_id=`...)
			dst = appendLabelValue(dst, engines[i].EngineID)
			dst = append(dst, "} "...)
			dst = strconv.AppendFloat(dst, value, 'g', -1, 64)
			dst = append(dst, '\n')
		}
	}
	dst = appendGaugeHeader(dst, "scheduling_mode", "Always 1; the label mode is the engine's scheduling mode.")
	for i := range engines {
		dst = append(dst, engineNamespace+`scheduling_mode{engine_id=`...)
		dst = appendLabelValue(dst, engines[i].EngineID)
		dst = append(dst, `,mode=`...)
		dst = appendLabelValue(dst, engines[i].SchedulingMode)
		dst = append(dst, "} 1\n"...)
	}
	return dst
}

func appendGaugeHeader(dst []byte, name, help string) []byte {
	for _, part := range [...]string{"# HELP " + engineNamespace, name, " ", help, "\n# TYPE " + engineNamespace, name, " gauge\n"} {
		dst = append(dst, part...)
	}
	return dst
}

// appendLabelValue appends s, valid UTF-8, in quotes. The text format knows three escapes; all else stands for itself.
func appendLabelValue(dst []byte, s string) []byte {
	dst = append(dst, '"')
	clean := 0 // s[clean:i] waits to be appended as it is
	for i := 0; i < len(s); i++ {
		escape := s[i]
		switch escape {
		case '"', '\\':
		case '\n':
			escape = 'n'
		default:
			continue
		}
		dst = append(dst, s[clean:i]...)
		dst = append(dst, '\\', escape)
		clean = i + 1
	}
	dst = append(dst, s[clean:]...)
	return append(dst, '"')
}
