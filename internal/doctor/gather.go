package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elrar/state-gateway/internal/config"
)

// Config says what to look at.
type Config struct {
	Settings config.Settings
	Given    []Given
	Unknown  []config.Unknown
	Place    Place
	URL      string        // of the gateway, without a path
	For      time.Duration // how long to watch what arrives
}

// mostOwn is how many of a host's own addresses are tried: a host of containers has one on each bridge.
const mostOwn = 4

// Gather looks at everything. It takes Config.For, and a few seconds more if the gateway does not answer.
func Gather(ctx context.Context, cfg Config) Facts {
	f := Facts{Settings: cfg.Settings, Given: cfg.Given, Unknown: cfg.Unknown, Place: cfg.Place, Port: cfg.Settings.UDPPort}
	ask := newAsker(cfg.URL)
	f.URL = redacted(ask.url)
	first, err := ask.stats(ctx)
	if err != nil {
		f.missing(err)
	} else {
		f.Gateway = &Gateway{Version: first.Version}
		f.Gateway.Buffers, f.Gateway.Intruders = ask.sockets(ctx)
		if !f.given("UDP_PORT") || len(socketsOn("udp", first.UDPPort)) > 0 { // else it may be published under another port
			f.Port = first.UDPPort
		}
	}
	f.UDP, f.TCP = socketsOn("udp", f.Port), socketsOn("tcp", f.Port)
	server := f.Place.listeningAt(ask.url)
	f.Gateways = scanProcesses(f.UDP, f.TCP, server)
	f.identify(owners(server))
	f.RmemMax = readInt("/proc/sys/net/core/rmem_max")
	f.Targets = conntracked(f.Port)
	if f.Gateway != nil {
		for _, target := range f.destinations() {
			p := ask.probe(ctx, target.name, target.to)
			if p.Counted > 0 || (Place{Links: links()}).Local(p.Target.Addr()) { // else its interface has just gone
				f.Probes = append(f.Probes, p)
			}
		}
	}
	pid := f.gatewayPID()
	if cfg.Settings.EnableLog {
		f.Log = lookAtLog(cfg.Settings.LogFile, pid)
	}
	f.watch(ctx, ask, cfg.For)
	if cfg.Settings.EnableLog {
		f.Log.lookAgain(pid)
	}
	return f
}

func (f *Facts) given(name string) bool {
	return slices.ContainsFunc(f.Given, func(g Given) bool { return g.Variable == config.Prefix+name })
}

// watch notes what changes in a time. Without a gateway there is nothing to wait for.
func (f *Facts) watch(ctx context.Context, ask asker, d time.Duration) {
	if f.Gateway == nil {
		return
	}
	ports := readNoPorts()
	before, err := ask.stats(ctx)
	begin := time.Now()
	if err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
		f.Gateway.After, err = ask.stats(ctx)
	}
	f.Gateway.Before, f.Gateway.Watched = before, time.Since(begin)
	f.NoPorts = readNoPorts() - ports
	switch {
	case err != nil:
		f.Gateway = nil
		f.missing(fmt.Errorf("it has just ceased to answer: %w", err))
	case f.Gateway.After.UptimeSeconds < before.UptimeSeconds:
		f.Gateway, f.GatewayError = nil, "it has just started anew"
	default: // all of one moment
		f.Gateway.Engines = ask.engines(ctx)
		f.Gateway.Live, f.Gateway.Ready = ask.health(ctx, "/livez"), ask.health(ctx, "/readyz")
	}
}

// missing notes why no gateway answers.
func (f *Facts) missing(err error) {
	op, network := errors.AsType[*net.OpError](err)
	f.GatewayError, f.Silent = err.Error(), isTimeout(err) && !(network && op.Op == "dial")
}

// identify notes the process that listens where the gateway was asked. If a gateway answered, that is it, whatever it runs:
// unless it only passes connections on, or holds the socket for another.
func (f *Facts) identify(servers []Process) {
	for _, p := range servers {
		if p.PID == 1 && !p.Gateway || p.Command == proxyCommand { // in a container it may be the gateway itself
			continue
		}
		f.Server = p
		if f.Gateway == nil {
			return
		}
		f.Server.Gateway = true
		for i := range f.UDP {
			if f.UDP[i].Owner.PID == p.PID {
				f.UDP[i].Owner.Gateway = true
			}
		}
		return
	}
}

// listeningAt returns the sockets that listen at a URL, if it leads to this place.
func (p Place) listeningAt(address string) []Socket {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	ip, ipErr := netip.ParseAddr(u.Hostname())
	if err != nil || u.Hostname() != "localhost" && (ipErr != nil || !p.Local(ip)) {
		return nil
	}
	return socketsOn("tcp", uint16(port))
}

// gatewayPID returns the process of the gateway that has the port here, or 0.
func (f *Facts) gatewayPID() int {
	for _, p := range owners(f.UDP) {
		if p.Gateway {
			return p.PID
		}
	}
	return 0
}

type destination struct {
	name string
	to   netip.AddrPort
}

// destinations returns where engines may send to on this host.
func (f *Facts) destinations() (all []destination) {
	add := func(name string, a netip.Addr) { all = append(all, destination{name, netip.AddrPortFrom(a, f.Port)}) }
	add("this "+f.Place.name()+" as 127.0.0.1", netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if f.Place.IPv6 {
		add("this "+f.Place.name()+" as ::1, which localhost often is", netip.IPv6Loopback())
	}
	own := f.Place.Addresses()
	for _, a := range own[:min(len(own), mostOwn)] {
		add("this "+f.Place.name()+"'s own address", a)
	}
	return all
}

func readInt(path string) int {
	text, _ := os.ReadFile(path)
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}
