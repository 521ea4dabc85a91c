package doctor

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// conntracked returns where the kernel's address translation takes datagrams that are sent to a port: empty if it does
// not, or cannot be asked (only root can). Each flow keeps the target that it had when its entry was made, for as long as
// datagrams flow: also that of a container that is gone.
func conntracked(port uint16) []netip.Addr {
	text, _ := os.ReadFile("/proc/net/nf_conntrack")
	return parseConntrack(string(text), port)
}

// parseConntrack reads the text of /proc/net/nf_conntrack: of each flow the addresses as they were sent, and those of an
// answer, which would come from the target.
func parseConntrack(text string, port uint16) (targets []netip.Addr) {
	// ipv4 2 udp 17 29 src=172.17.0.1 dst=192.0.2.1 sport=40187 dport=9999 [UNREPLIED] src=172.17.0.2 dst=172.17.0.1 sport=9999 …
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "udp" {
			continue
		}
		var sources, destinations, ports []string
		for _, word := range f {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "src":
				sources = append(sources, value)
			case "dst":
				destinations = append(destinations, value)
			case "dport":
				ports = append(ports, value)
			}
		}
		if len(sources) != 2 || len(destinations) != 2 || len(ports) != 2 || ports[0] != strconv.Itoa(int(port)) || sources[1] == destinations[0] {
			continue
		}
		if target, err := netip.ParseAddr(sources[1]); err == nil && !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets
}
