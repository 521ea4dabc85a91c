package doctor

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Place is where a program runs.
type Place struct {
	Container string // how it shows that this is a container; "" = it does not
	Links     []Link // the interfaces that are up, the one of the default route first
	IPv6      bool   // the kernel has IPv6
	Memory    uint64 // bytes that this place has: the control group's limit, else the machine's memory; 0 = not known
	MemoryOf  string // whose: "this container's limit", …
	LogLayer  string // the state log's folder, if it is in the container's own layer; "" = it is not, or there is no log
}

// Link is a network interface that is up.
type Link struct {
	Name      string
	Driver    string // of the kernel; "" = it has none, or does not say
	Default   bool   // the default route leads here
	Loopback  bool
	Addresses []netip.Addr // without link-local ones
}

// virtual are the drivers of interfaces that connect a network namespace of its own with its host. A machine's own
// network is none of these: its interfaces have a card's driver, a hypervisor's, or a bridge's.
var virtual = []string{"veth", "netkit", "macvlan", "ipvlan", ""} // the last: a sandbox that does not tell (gVisor)

// bridged are those whose other end is plugged into the host's bridge or routing, which broadcasts do not cross.
var bridged = []string{"veth", "netkit"}

// OwnNetwork reports whether this is a container with a network of its own rather than its host's.
func (p Place) OwnNetwork() bool { return p.Container != "" && (p.uplink(virtual) || !p.outside()) }

// Bridged reports whether this is a container that is connected through its host's bridge.
func (p Place) Bridged() bool { return p.Container != "" && p.uplink(bridged) }

// uplink reports whether the way out of here is an interface of one of the drivers: the default route's, or any if there
// is no default route.
func (p Place) uplink(drivers []string) bool {
	routed := slices.ContainsFunc(p.Links, func(l Link) bool { return l.Default })
	return slices.ContainsFunc(p.Links, func(l Link) bool { return (l.Default || !routed) && slices.Contains(drivers, l.Driver) })
}

// outside reports whether there is an interface besides the loopback.
func (p Place) outside() bool {
	return slices.ContainsFunc(p.Links, func(l Link) bool { return !l.Loopback })
}

// Addresses returns the addresses that others can send to, those of the default route's interface first.
func (p Place) Addresses() (all []netip.Addr) {
	for _, l := range p.Links {
		if !l.Loopback {
			all = append(all, l.Addresses...)
		}
	}
	return all
}

// Local reports whether an address is one of this place's own.
func (p Place) Local(a netip.Addr) bool {
	return a.IsLoopback() && a.Is4() || slices.ContainsFunc(p.Links, func(l Link) bool { return slices.Contains(l.Addresses, a.WithZone("")) })
}

// name is what an operator calls what has this network.
func (p Place) name() string {
	if p.OwnNetwork() {
		return "container"
	}
	return "host"
}

// Look looks around. getenv is os.Getenv; logFile is the state log's path, or "" if it does not matter.
func Look(getenv func(string) string, logFile string) Place {
	p := Place{Container: container(getenv), Links: links()}
	p.IPv6 = slices.ContainsFunc(p.Links, func(l Link) bool { return slices.ContainsFunc(l.Addresses, netip.Addr.Is6) })
	if n, err := memlimit.FromCgroup(); err == nil {
		p.Memory, p.MemoryOf = n, "the control group's limit"
		if p.Container != "" {
			p.MemoryOf = "this container's limit"
		}
	}
	if n, err := memlimit.FromSystem(); err == nil && (p.Memory == 0 || n < p.Memory) {
		p.Memory, p.MemoryOf = n, "this machine's memory"
	}
	if p.Container != "" && logFile != "" {
		p.LogLayer = inLayer(logFile)
	}
	return p
}

// container returns how it shows that this is a container, or "".
func container(getenv func(string) string) string {
	for _, file := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	for _, variable := range []string{"KUBERNETES_SERVICE_HOST", "container"} { // the latter: podman, systemd-nspawn, LXC
		if getenv(variable) != "" {
			return "the variable " + variable
		}
	}
	text, _ := os.ReadFile("/proc/1/cgroup")
	return containerGroup(string(text))
}

// containerGroup finds the traces that container engines leave in the text of /proc/1/cgroup.
func containerGroup(text string) string {
	for _, mark := range []string{"docker", "kubepods", "containerd", "libpod", "lxc"} {
		if strings.Contains(text, mark) {
			return mark + " in /proc/1/cgroup"
		}
	}
	return ""
}

// links returns the interfaces that are up, the default route's first.
func links() (all []Link) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	routed := defaultInterfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		l := Link{Name: i.Name, Driver: driver(i.Name), Default: slices.Contains(routed, i.Name), Loopback: i.Flags&net.FlagLoopback != 0}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if ip := prefix.Addr().Unmap(); err == nil && !ip.IsLinkLocalUnicast() {
				l.Addresses = append(l.Addresses, ip)
			}
		}
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b Link) int {
		switch {
		case a.Default == b.Default:
			return 0
		case a.Default:
			return -1
		default:
			return 1
		}
	})
	return all
}

// defaultInterfaces returns the interfaces of the default routes.
func defaultInterfaces() []string {
	v4, _ := os.ReadFile("/proc/net/route")
	v6, _ := os.ReadFile("/proc/net/ipv6_route")
	return append(defaultRoutes4(string(v4)), defaultRoutes6(string(v6))...)
}

// defaultRoutes4 reads the text of /proc/net/route: interface, destination, …, with the mask in the eighth field.
func defaultRoutes4(text string) (names []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			names = append(names, f[0])
		}
	}
	return names
}

// defaultRoutes6 reads the text of /proc/net/ipv6_route: destination, its prefix length, …, and the interface last. The
// unreachable route that every kernel has leads to the loopback.
func defaultRoutes6(text string) (names []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 10 && f[0] == strings.Repeat("0", 32) && f[1] == "00" && f[9] != "lo" {
			names = append(names, f[9])
		}
	}
	return names
}
