package gateway

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/elrar/state-gateway/shard"
	"github.com/elrar/state-gateway/state"
)

const (
	// adviceInterval is how often the engines are looked over.
	adviceInterval = 5 * time.Second

	// adviceRepeat is the least time between two messages of one kind about one engine.
	adviceRepeat = 10 * time.Minute

	// adviceBurst is how many messages may come at once; after them there is one a second. A fleet of 1,000 engines
	// whose clocks are wrong is told of in a quarter of an hour, and does not fill the log meanwhile.
	adviceBurst = 10

	// skewLimitMs is the clock skew above which it is worth a message: timestamps are then of no use beside arrivals. In
	// ms, since a sender may claim a year that no time.Duration reaches.
	skewLimitMs = 1000
)

// advisor tells operators of engines that work badly: from time to time, in a goroutine of its own, from what the table
// holds. What one round may not say for the number of messages, a later one will.
type advisor struct {
	table *shard.Table
	rules *state.Rules
	log   *slog.Logger
	said  map[advice]int64 // monotonic ns; entries of engines that are gone are dropped
	limit *rate.Limiter
}

// advice is a kind of message about one engine.
type advice struct {
	engineID string
	kind     adviceKind
}

type adviceKind uint8

const (
	skewAdvice adviceKind = iota
	intervalAdvice
	gapAdvice
	conflictAdvice
)

func newAdvisor(table *shard.Table, rules *state.Rules, log *slog.Logger) *advisor {
	return &advisor{table: table, rules: rules, log: log, said: map[advice]int64{},
		limit: rate.NewLimiter(rate.Every(time.Second), adviceBurst)}
}

// run looks over the engines until ctx is done.
func (a *advisor) run(ctx context.Context, now func() state.Instant) {
	tick := time.NewTicker(adviceInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.look(now())
		}
	}
}

// look looks over every engine that still sends. By a sender's clock that is wrong it may be stale all the same.
func (a *advisor) look(now state.Instant) {
	a.table.Range(func(h *state.Held) bool {
		if h.Silence(now) <= h.StaleAfter(a.rules) {
			a.advise(h, now)
		}
		return true
	})
	for key := range a.said {
		if _, held := a.table.Get(key.engineID); !held {
			delete(a.said, key)
		}
	}
}

// advise says what there is to say of one engine.
func (a *advisor) advise(h *state.Held, now state.Instant) {
	if h.ClockSkewMs > skewLimitMs || h.ClockSkewMs < -skewLimitMs {
		a.say(advice{h.EngineID, skewAdvice}, now, "an engine's clock differs from this host's; set both by NTP",
			slog.Float64("skew_seconds", float64(h.ClockSkewMs)/1000))
	}
	if h.Conflict(now) {
		a.say(advice{h.EngineID, conflictAdvice}, now, "several senders use one engine_id; give each engine its own",
			slog.String("one_of_them", h.Source.String()))
	}
	if interval, ok := a.table.PushInterval(h.EngineID); ok && interval > a.rules.StaleThreshold/2 {
		a.say(advice{h.EngineID, intervalAdvice}, now, "an engine pushes so seldom that one lost datagram makes it stale",
			slog.Float64("interval_seconds", interval.Seconds()),
			slog.Int64("set_VLLM_STATE_GATEWAY_STALE_THRESHOLD_to", enduring(interval).Milliseconds()))
	} else if gap := a.longestGap(h); gap > a.rules.StaleThreshold/2 {
		a.say(advice{h.EngineID, gapAdvice}, now, "an engine with work pauses so long between two states that a heartbeat in the pause shows it as idle",
			slog.Float64("longest_pause_seconds", gap.Seconds()),
			slog.Int64("set_VLLM_STATE_GATEWAY_STALE_THRESHOLD_to", enduring(gap).Milliseconds()))
	}
}

// longestGap returns the longest recent gap between the states of an engine that a heartbeat can make idle. The interval,
// a median, does not see a long scheduling step now and then.
func (a *advisor) longestGap(h *state.Held) time.Duration {
	if !a.rules.HeartbeatMerge || h.HeartbeatWall == 0 {
		return 0
	}
	return a.table.LongestGap(h.EngineID)
}

// enduring returns a stale threshold at which an engine that pushes at this interval outlives the loss of a datagram,
// with half an interval to spare for delays, and which gives no cause for advice: in whole tenths of a second. Half of it
// is more than the interval, so that no heartbeat makes the engine idle within it.
func enduring(interval time.Duration) time.Duration {
	const tenth = time.Second / 10
	return (interval*5/2 + tenth - 1) / tenth * tenth
}

// say writes a message unless it was said lately or too much is being said.
func (a *advisor) say(key advice, now state.Instant, message string, details ...slog.Attr) {
	if last, said := a.said[key]; said && now.Mono-last < int64(adviceRepeat) || !a.limit.AllowN(time.Unix(0, now.Mono), 1) {
		return
	}
	a.said[key] = now.Mono
	a.log.LogAttrs(context.Background(), slog.LevelWarn, message, append(details, slog.String("engine_id", key.engineID))...)
}
