package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/elrar/state-gateway/internal/config"
)

// Examine returns what the facts mean, in the order in which an operator would ask.
func Examine(facts Facts) []Finding {
	var f findings
	f.settings(&facts)
	f.place(&facts)
	f.gateway(&facts)
	f.sockets(&facts)
	if facts.Gateway != nil {
		f.buffers(&facts)
		f.way(&facts)
		f.arrival(&facts)
		f.engines(facts.Gateway.Engines)
	}
	f.log(&facts)
	return f
}

// asIs returns the settings as the gateway that answers has them, as far as it says.
func (facts *Facts) asIs() config.Settings {
	s := facts.Settings
	if g := facts.Gateway; g != nil {
		s.NetworkMode, s.UDPPort = config.NetworkMode(g.After.NetworkMode), g.After.UDPPort
		if a, err := netip.ParseAddr(g.After.BindAddress); err == nil {
			s.BindAddress = a
		}
	}
	return s
}

func (f *findings) settings(facts *Facts) {
	var given []string
	for _, g := range facts.Given {
		text := g.Text
		if quoted := strconv.Quote(text); quoted != `"`+text+`"` {
			text = quoted // a line break, or a terminal's codes
		}
		given = append(given, fmt.Sprintf("%s=%s (%s)", g.Variable, text, g.Source))
	}
	if given == nil {
		f.add(OK, "settings", "", "all are defaults here")
	} else {
		f.add(OK, "settings", "", "%s; the others are defaults", list(given, len(given)))
	}
	for _, u := range facts.Unknown {
		f.add(Note, "settings", "", "%v", u)
	}
	if facts.Gateway == nil || facts.elsewhere() {
		return
	}
	here, there := facts.Settings, facts.asIs()
	var other []string
	differ := func(name string, a, b any) {
		if a != b {
			other = append(other, fmt.Sprintf("%s%s=%v instead of %v", config.Prefix, name, b, a))
		}
	}
	differ("NETWORK_MODE", here.NetworkMode, there.NetworkMode)
	differ("UDP_PORT", here.UDPPort, there.UDPPort)
	if !here.BindAddress.IsUnspecified() || !there.BindAddress.IsUnspecified() {
		differ("BIND_ADDRESS", here.BindAddress, there.BindAddress)
	}
	if other != nil {
		f.add(Note, "settings", "what is said below of the network goes by the gateway; ask with its own environment to have the rest right",
			"the gateway runs with %s", list(other, len(other)))
	}
}

func (f *findings) place(facts *Facts) {
	p := facts.Place
	what := "this host's network"
	switch {
	case p.OwnNetwork():
		what = fmt.Sprintf("a container (%s) with a network of its own", p.Container)
	case p.Container != "":
		what = fmt.Sprintf("a container (%s) on its host's network", p.Container)
	}
	var names []string
	for _, l := range p.Links {
		if !l.Loopback && len(l.Addresses) > 0 {
			names = append(names, l.Name+" "+list(l.Addresses, 3))
		}
	}
	f.add(OK, "network", "", "%s: %s", what, list(names, 6))
	if facts.Gateway != nil && facts.elsewhere() {
		return // its place is not this one
	}
	*f = append(*f, Foresee(facts.asIs(), p)...)
}

func (f *findings) gateway(facts *Facts) {
	g := facts.Gateway
	if g == nil {
		do := "start it; if it should run, docker ps and docker logs elrar-state-gateway, or systemctl status, say why it does not"
		if frozen := facts.frozen(); frozen.PID != 0 {
			do = fmt.Sprintf("%v is frozen: a signal or a debugger has stopped it; kill -CONT %d lets it go on", frozen, frozen.PID)
		} else if facts.Silent {
			do = fmt.Sprintf("%s takes connections there and does not answer: is it frozen (docker unpause elrar-state-gateway), or without a processor?", facts.server())
		} else if away := elsewhere(facts.Gateways); len(away) > 0 {
			do = fmt.Sprintf("in another network namespace, such as a container's, there is %s; look from there: "+
				"docker exec elrar-state-gateway state-gateway doctor, or nsenter -n -t %d state-gateway doctor", list(away, 4), away[0].PID)
		} else if len(facts.Gateways) > 0 {
			do = fmt.Sprintf("%v runs here and listens on %v: give its address with --url or VLLM_STATE_GATEWAY_HTTP_ADDRESS", facts.Gateways[0], facts.Gateways[0].Listens)
		}
		f.add(Problem, "gateway", do, "no gateway answers at %s: %s", facts.URL, facts.GatewayError)
		return
	}
	f.add(OK, "gateway", "", "version %s answers at %s; it has run for %s", g.Version, facts.URL, seconds(g.After.UptimeSeconds))
	switch {
	case g.Live != "":
		f.add(Problem, "gateway", "its messages say why; restart it", "it is not alive: %s", g.Live)
	case g.Ready != "":
		f.add(Note, "gateway", "", "it is not ready yet: %s", g.Ready)
	}
}

// frozen returns the gateway that is stopped, if one is: the process that was asked and is silent, else that which has the
// port. Behind a proxy that takes the connections it is a gateway in another network namespace. Others on this machine may
// be stopped as well, and have nothing to do with it.
func (facts *Facts) frozen() Process {
	candidates := slices.DeleteFunc(owners(facts.UDP), func(p Process) bool { return !p.Gateway })
	switch {
	case facts.Silent && facts.Server.PID != 0:
		candidates = []Process{facts.Server}
	case facts.Silent:
		candidates = append(candidates, elsewhere(facts.Gateways)...)
	}
	if i := slices.IndexFunc(candidates, func(p Process) bool { return p.Stopped }); i >= 0 {
		return candidates[i]
	}
	return Process{}
}

// server says what listens where the gateway was asked.
func (facts *Facts) server() string {
	if facts.Server.PID == 0 {
		return "something"
	}
	return facts.Server.String()
}

// elsewhere returns those of the processes that are in another network namespace.
func elsewhere(all []Process) []Process {
	return slices.DeleteFunc(slices.Clone(all), func(p Process) bool { return !p.Elsewhere })
}

func (f *findings) sockets(facts *Facts) {
	port := facts.Port
	who := owners(facts.UDP)
	foreign := slices.IndexFunc(who, func(p Process) bool { return !p.Gateway && p.Command != proxyCommand && p.PID != 1 })
	intruders := facts.intruding()
	asTCP := len(facts.UDP) == 0 && len(facts.TCP) > 0
	switch {
	case asTCP:
		f.add(Problem, "sockets", "publish it as UDP: "+facts.publish(), "nobody has UDP port %d here, but %v has TCP port %d: it was published, or is served, as TCP",
			port, facts.TCP[0].Owner, port)
	case facts.Gateway == nil && len(facts.UDP) == 0:
		f.add(Note, "sockets", "", "UDP port %d is free here", port)
	case facts.Gateway == nil && foreign >= 0:
		f.add(Problem, "sockets", "stop it, or set VLLM_STATE_GATEWAY_UDP_PORT, and the engines, to another port", "%v has UDP port %d", who[foreign], port)
	case facts.Gateway == nil && len(who) == 0:
		f.add(Note, "sockets", "ss -ulpn shows whose it is, as root and outside of containers", "a process that cannot be seen from here has UDP port %d", port)
	case facts.Gateway == nil:
		f.add(Note, "sockets", "", "%s has UDP port %d", list(who, 3), port)
	case facts.elsewhere() && facts.proxied():
		f.add(OK, "sockets", "", "Docker publishes UDP port %d here; the gateway is in a container: more can be seen from inside", port)
	case facts.elsewhere():
		f.add(Note, "sockets", "look from there: docker exec elrar-state-gateway state-gateway doctor; engines that send to this host need the port published: "+
			facts.publish(), "the gateway is in another network namespace, and nobody has UDP port %d in this one", port)
	case len(intruders) > 0:
		f.add(Problem, "sockets", "end it: the kernel lets processes of one user share a port (SO_REUSEPORT), and gives each socket some of the engines",
			"%s has UDP port %d besides the gateway, with %s, and takes some of what is sent to it",
			list(owners(intruders), 3), port, plural(len(intruders), "socket"))
	default:
		f.add(OK, "sockets", "", "%s on %s%s", plural(len(facts.UDP), "UDP socket"), facts.UDP[0].Local, by(who))
	}
	if g := facts.Gateway; g != nil && g.Intruders > 0 && len(intruders) == 0 {
		f.add(Problem, "sockets", "ss -ulpn, as root and where the gateway runs, shows whose they are; end what is not the gateway",
			"the gateway counts %s of other processes on its UDP port, which take some of what is sent to it", plural(g.Intruders, "socket"))
	}
}

func by(who []Process) string {
	if len(who) == 0 {
		return ""
	}
	return ", of " + who[0].String()
}

func (f *findings) buffers(facts *Facts) {
	g, asked := facts.Gateway, facts.Settings.ReceiveBuffer
	dropped, now := g.After.KernelDropped, g.After.KernelDropped-g.Before.KernelDropped
	var raise string
	if len(g.Buffers) > 0 {
		granted := slices.Min(g.Buffers)
		limit := ""
		if facts.RmemMax > 0 {
			limit = fmt.Sprintf(" (net.core.rmem_max is %s)", bytes(uint64(facts.RmemMax)))
		}
		if granted < asked {
			raise = fmt.Sprintf("sysctl -w net.core.rmem_max=%d on the host, or run it with CAP_NET_ADMIN, and start it anew; ", asked)
			level := Note
			if dropped > 0 {
				level = Problem
			}
			f.add(level, "sockets", raise[:len(raise)-2], "the receive buffers are %s, and %s were asked for%s", bytes(uint64(granted)), bytes(uint64(asked)), limit)
		} else {
			f.add(OK, "sockets", "", "the receive buffers are %s%s", bytes(uint64(granted)), limit)
		}
		for _, s := range facts.UDP {
			if s.Queued > uint64(granted) { // of twice as much
				f.add(Problem, "sockets", "give it more CPU; is it throttled, or stopped?", "%s wait in the buffer of a socket: the gateway does not keep up", bytes(s.Queued))
			}
		}
	}
	switch {
	case now > 0:
		f.add(Problem, "sockets", raise+"give the gateway more CPU, and VLLM_STATE_GATEWAY_WORKERS to use it",
			"the kernel dropped %d datagrams in %s for want of room, and %d since the start", now, seconds(g.Watched.Seconds()), dropped)
	case dropped > 0:
		f.add(Note, "sockets", "", "the kernel has dropped %d datagrams since the start, and none in the last %s", dropped, seconds(g.Watched.Seconds()))
	default:
		f.add(OK, "sockets", "", "the kernel has dropped nothing")
	}
}

// receives reports whether a gateway with these settings receives what is sent to one of its place's addresses.
func receives(s config.Settings, a netip.Addr) bool {
	switch {
	case s.NetworkMode == config.Broadcast:
		return a.Is4()
	case s.BindAddress.IsUnspecified():
		return true
	default:
		return s.BindAddress == a
	}
}

func (f *findings) way(facts *Facts) {
	s := facts.asIs()
	var arrived, lost []netip.AddrPort
	for _, p := range facts.Probes {
		switch {
		case p.Counted > 0:
			arrived = append(arrived, p.Target)
		case facts.elsewhere():
			lost = append(lost, p.Target)
		case !receives(s, p.Target.Addr()):
			bound := fmt.Sprintf("bound to %v", s.BindAddress)
			if s.NetworkMode == config.Broadcast {
				bound = "in broadcast mode, which is IPv4's"
			}
			f.add(Note, "way", "", "what is sent to %v (%s) is not received: the gateway is %s", p.Target, p.Name, bound)
		default:
			do := "a firewall of this " + facts.Place.name() + " drops it, or the gateway does not read"
			if facts.shared() {
				do = "another socket on the port gets it, it seems: see what is said of the sockets"
			}
			f.add(Problem, "way", do,
				"an empty datagram to %v (%s) did not get to the gateway%s", p.Target, p.Name, because(p.Error))
		}
	}
	if arrived != nil {
		f.add(OK, "way", "", "an empty datagram got to the gateway by way of %s", list(arrived, len(arrived)))
	}
	switch {
	case lost == nil:
	case facts.proxied():
		f.add(OK, "way", "", "whether %s leads to the gateway cannot be told from here: Docker's proxy does not pass empty datagrams on", list(lost, len(lost)))
	default:
		f.add(Note, "way", "engines that send there need the port published: "+facts.publish(),
			"an empty datagram to %s did not get to the gateway", list(lost, len(lost)))
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
