package gateway

import (
	"context"
	"time"
)

const (
	// sweepInterval is how often silent engines are looked for: they must be gone within a second after their time.
	sweepInterval = 500 * time.Millisecond

	// departuresInterval is the least time between two messages about engines that have left the table.
	departuresInterval = 10 * time.Second
)

// sweep removes silent engines, says which engines have left the table, and follows the kernel's drop counters across
// their wrap-arounds.
func (g *Gateway) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	d := departures{gateway: g}
	deaf := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := g.Now()
			g.table.Sweep(now, g.settings.RemoveAfter)
			d.say(time.Duration(now.Mono))
			deaf = g.tellDeafness(deaf)
			g.engine.KernelDrops()
		}
	}
}

// tellDeafness says when the gateway is not alive any more (/livez) and when it is again, and returns whether it is not.
func (g *Gateway) tellDeafness(before bool) (deaf bool) {
	why := g.Live()
	if deaf = why != nil; deaf && !before {
		g.log.Error("no states are received; they wait in the kernel, or are dropped there", "error", why.Error())
	} else if before && !deaf {
		g.log.Info("states are received again")
	}
	return deaf
}

// departures tells of engines that have left the table: of the first at once, of those in the next ten seconds together.
type departures struct {
	gateway  *Gateway
	removed  uint64        // that have been told of
	replaced uint64        // that have been told of
	quiet    time.Duration // until this moment nothing is said
}

func (d *departures) say(now time.Duration) {
	g := d.gateway
	removed, replaced := g.table.Removed(), g.table.Replaced()
	if removed == d.removed && replaced == d.replaced || now < d.quiet {
		return
	}
	if n := removed - d.removed; n > 0 {
		g.log.Info("silent engines removed", "engines", n, "silent_for", g.settings.RemoveAfter.String())
	}
	if n := replaced - d.replaced; n > 0 {
		g.log.Warn("the table is full: new engines have taken the places of stale ones, or of ids that sent one state only",
			"engines", n, "remedy", "raise VLLM_STATE_GATEWAY_MAX_ENGINES, or find out who invents engine ids")
	}
	d.removed, d.replaced, d.quiet = removed, replaced, now+departuresInterval
}
