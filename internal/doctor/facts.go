package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/elrar/state-gateway/internal/config"
)

// Facts are all that is looked at.
type Facts struct {
	Settings config.Settings
	Given    []Given // settings that are not the defaults'
	Unknown  []config.Unknown
	Place    Place

	URL          string   // that was asked
	Gateway      *Gateway // nil: no gateway answers
	GatewayError string   // why not
	Silent       bool     // what listens there takes connections, and does not answer
	Server       Process  // that listens there; zero if it is not here, or cannot be told
	Gateways     []Process

	Port    uint16   // that engines send to, as far as can be told
	UDP     []Socket // of this network namespace, on that port
	TCP     []Socket // those that listen on a TCP port of the same number
	NoPorts uint64   // datagrams that came for ports that nobody has, while it was looked
	Targets []netip.Addr
	Probes  []Probe
	Log     LogFile
	RmemMax int // bytes; 0 = not known
}

// Given is a setting that somebody has set.
type Given struct {
	Variable string
	Text     string
	Source   string // flag or environment
}

// elsewhere reports whether the gateway that answers is in another network namespace: its port is bound there, not here.
func (f *Facts) elsewhere() bool {
	if f.Gateway == nil {
		return false
	}
	for _, s := range f.UDP {
		if s.Local.Port() == f.Gateway.After.UDPPort && s.Owner.Command != proxyCommand {
			return false
		}
	}
	return true
}

// intruding returns the sockets on the port that are not the gateway's, and take a part of what is sent to it. The gateway is
// the process that answers, and not another one of the same program; behind a proxy of HTTP it is whoever is a gateway. A
// socket whose owner cannot be told is none.
func (f *Facts) intruding() []Socket {
	if f.Gateway == nil || f.elsewhere() {
		return nil
	}
	answers := func(s Socket) bool { return slices.Contains(s.pids, f.Server.PID) }
	direct := slices.ContainsFunc(f.UDP, answers)
	address := f.asIs().BindAddress
	return slices.DeleteFunc(slices.Clone(f.UDP), func(s Socket) bool {
		local := s.Local.Addr()
		apart := local != address && !local.IsUnspecified() && !address.IsUnspecified()
		return apart || s.Owner.PID == 0 || s.Owner.PID == 1 || s.Owner.Command == proxyCommand || answers(s) || !direct && s.Owner.Gateway
	})
}

// shared reports whether there are such sockets, by what can be seen or by what the gateway counts.
func (f *Facts) shared() bool {
	return len(f.intruding()) > 0 || f.Gateway != nil && f.Gateway.Intruders > 0
}

// proxied reports whether Docker publishes the port here.
func (f *Facts) proxied() bool {
	return slices.ContainsFunc(f.UDP, func(s Socket) bool { return s.Owner.Command == proxyCommand })
}

// publish is the option of docker run with which engines reach a gateway in a container by this host.
func (f *Facts) publish() string {
	inside := f.Port
	if f.Gateway != nil {
		inside = f.Gateway.After.UDPPort
	}
	return fmt.Sprintf("-p %d:%d/udp", f.Port, inside)
}

// proxyCommand is Docker's process that stands for a published port on the host.
const proxyCommand = "docker-proxy"
