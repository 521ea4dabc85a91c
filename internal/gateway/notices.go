package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/elrar/state-gateway/state"
)

const (
	// noticeInterval is the least time between two messages about rejections for one reason. With eight reasons a flood
	// of garbage makes less than one line a second.
	noticeInterval = 10 * time.Second

	// sampleSize is how much of a rejected datagram a message shows, in bytes.
	sampleSize = 120
)

// notices turns what happens on the hot path into messages, without making it wait for whoever reads them.
type notices struct {
	next [state.Reasons]atomic.Int64 // monotonic ns from which a reason may be noticed again
	ch   chan rejection
	log  *slog.Logger
}

type rejection struct {
	source netip.AddrPort
	reason state.Reason
	size   int
	sample [sampleSize]byte
}

func newNotices(log *slog.Logger) *notices {
	return &notices{ch: make(chan rejection, state.Reasons), log: log}
}

// rejected notices a rejected datagram, unless its reason was noticed a moment before now, monotonic ns.
// It never blocks.
func (n *notices) rejected(now int64, source netip.AddrPort, reason state.Reason, payload []byte) {
	next := &n.next[reason]
	due := next.Load()
	if now < due || !next.CompareAndSwap(due, now+int64(noticeInterval)) {
		return
	}
	r := rejection{source: source, reason: reason, size: len(payload)}
	copy(r.sample[:], payload)
	select {
	case n.ch <- r:
	default:
	}
}

// run writes the messages until ctx is done, and then those that wait.
func (n *notices) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for len(n.ch) > 0 {
				n.say(<-n.ch)
			}
			return
		case r := <-n.ch:
			n.say(r)
		}
	}
}

func (n *notices) say(r rejection) {
	n.log.Warn("datagram rejected; others like it in the next 10 s are only counted",
		"reason", r.reason.String(), "source", r.source.String(), "bytes", r.size,
		"begins", string(r.sample[:min(r.size, sampleSize)]))
}
