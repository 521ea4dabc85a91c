package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elrar/state-gateway/internal/config"
)

// arrival tells what comes, and why nothing does. Empty datagrams do not count here: the probes are such.
func (f *findings) arrival(facts *Facts) {
	g := facts.Gateway
	was, is := g.Before, g.After
	d := seconds(g.Watched.Seconds())
	came := func(s Stats) uint64 { return s.TotalReceived - s.Rejected["empty"] }
	valid := func(s Stats) uint64 { return s.TotalReceived - s.rejected() }
	switch {
	case came(is) == 0:
		f.add(Problem, "arrival", causes(facts), "nothing has arrived since the gateway started %s ago", seconds(is.UptimeSeconds))
	case came(is) == came(was):
		before := fmt.Sprintf("%d valid datagrams did before", valid(is))
		if is.rejected() > 0 {
			before += ", and these were rejected: " + reasons(Stats{}, is)
		}
		f.add(Problem, "arrival", causes(facts), "nothing arrived in the last %s; %s", d, before)
	case valid(is) == valid(was):
		f.add(Problem, "arrival", mend(was, is), "everything that arrived in the last %s was invalid: %s", d, reasons(was, is))
	default:
		rate := float64(valid(is)-valid(was)) / g.Watched.Seconds()
		f.add(OK, "arrival", "", "%.0f valid datagrams a second", rate)
		if is.rejected() > was.rejected() {
			level := Note
			if is.Rejected["engine_limit"] > was.Rejected["engine_limit"] {
				level = Problem
			}
			f.add(level, "arrival", mend(was, is), "besides, these were rejected in the last %s: %s", d, reasons(was, is))
		}
		f.copies(facts)
	}
	if facts.NoPorts > 0 {
		f.add(Note, "arrival", "tcpdump -ni any udp shows which: do engines send to another port?",
			"%d datagrams came in the last %s for UDP ports that nobody has here", facts.NoPorts, d)
	}
	if len(facts.Targets) > 1 {
		f.add(Note, "arrival", stale(facts.Port),
			"the kernel's address translation takes datagrams for port %d to %s at the same time: unless each is a gateway, one was an earlier container's",
			facts.Port, list(facts.Targets, 4))
	}
}

// copies tells of broadcasts in a mode that is not made for them: the kernel gives each of them to every socket.
func (f *findings) copies(facts *Facts) {
	g := facts.Gateway
	valid := g.After.Applied + g.After.Duplicate + g.After.OutOfOrder - g.Before.Applied - g.Before.Duplicate - g.Before.OutOfOrder
	duplicate := g.After.Duplicate - g.Before.Duplicate
	switch sockets := len(g.Buffers); {
	case g.After.NetworkMode == string(config.Unicast) && valid >= 10 && 5*duplicate >= 2*valid:
		f.add(Problem, "arrival", "set VLLM_STATE_GATEWAY_NETWORK_MODE=broadcast if the engines broadcast",
			"%d of %d states were duplicates: engines that broadcast send copies, and with %s a broadcast is received %d times in unicast mode",
			duplicate, valid, plural(sockets, "socket"), sockets)
	case g.After.NetworkMode == string(config.Broadcast) && g.After.BroadcastReceived == 0:
		f.add(Note, "arrival", "set VLLM_STATE_GATEWAY_NETWORK_MODE=unicast if the engines send to the gateway's address, to read with several sockets",
			"none of what arrived in broadcast mode was a broadcast")
	}
}

// hints say what makes datagrams invalid for a reason.
var hints = []struct{ reason, hint string }{
	{"json", "json: Python's json.dumps writes NaN and Infinity unless allow_nan=False, and JSON has neither; or the text is cut off, or is no JSON"},
	{"missing_field", "missing_field: all eight fields are required; is it another agent's, or another version's?"},
	{"type", "type: an integer was sent as 10.0, or a number as text"},
	{"range", "range: a negative or too large number, or an empty or overlong text"},
	{"duplicate_field", "duplicate_field: one of the eight names is there twice"},
	{"too_large", "too_large: raise VLLM_STATE_GATEWAY_MAX_DATAGRAM"},
	{"engine_limit", "engine_limit: raise VLLM_STATE_GATEWAY_MAX_ENGINES, or find out who invents engine ids"},
	{"empty", "empty: port checks such as nc -z send these"},
}

// rose returns how often a reason was met between the two.
func rose(was, is Stats, reason string) uint64 { return is.Rejected[reason] - was.Rejected[reason] }

func reasons(was, is Stats) string {
	var all []string
	for reason := range is.Rejected {
		if n := rose(was, is, reason); n > 0 {
			all = append(all, fmt.Sprintf("%s %d", reason, n))
		}
	}
	slices.Sort(all)
	return list(all, len(all))
}

func mend(was, is Stats) string {
	all := []string{`the gateway's messages ("datagram rejected") show one of each reason with its source`}
	for _, h := range hints {
		if rose(was, is, h.reason) > 0 {
			all = append(all, h.hint)
		}
	}
	return strings.Join(all, "\n")
}

// stale says how to be rid of translations to containers that are gone.
func stale(port uint16) string {
	return fmt.Sprintf("conntrack -D -p udp --dport %d on the host, or restart the engines; the host's network, or a headless Service, has no such entries", port)
}

// causes are what can keep datagrams away when the way through the gateway is free, the likeliest first.
func causes(facts *Facts) string {
	s, port := facts.asIs(), facts.Port
	var all []string
	inside := port
	if facts.Gateway != nil {
		inside = facts.Gateway.After.UDPPort
	}
	add := func(format string, args ...any) {
		all = append(all, fmt.Sprintf("%d. ", len(all)+1)+fmt.Sprintf(format, args...))
	}
	if facts.NoPorts > 0 {
		add("the engines send to another port than %d", port)
	}
	contained := facts.Place.OwnNetwork() || facts.elsewhere()
	if len(facts.Targets) > 1 || contained {
		add("engines that have sent since before the container was made anew keep a stale conntrack entry: %s", stale(port))
	}
	if contained && !facts.proxied() {
		add("the port is published as TCP, or not at all: docker port elrar-state-gateway must show %d/udp", inside)
	}
	if !s.BindAddress.IsUnspecified() {
		add("the engines send to another address than %v, the only one that is received", s.BindAddress)
	}
	if s.NetworkMode == config.Broadcast && contained {
		add("broadcasts do not cross the bridge: use the host's network")
	}
	add("the engines do not run, or send elsewhere: compare their gateway address and port, %d here", port)
	add("a firewall, which cannot be seen from here: ufw allow %d/udp, or iptables -A INPUT -p udp --dport %d -j ACCEPT", port, port)
	return fmt.Sprintf("tcpdump -ni any udp port %d shows what gets to this %s; likely causes:\n", port, facts.Place.name()) + strings.Join(all, "\n")
}
