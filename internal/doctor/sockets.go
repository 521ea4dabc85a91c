package doctor

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Socket is one UDP or listening TCP socket of a network namespace, as /proc/net shows it.
type Socket struct {
	Local  netip.AddrPort
	Queued uint64 // bytes that wait to be read, as the kernel counts them
	Drops  uint64 // datagrams, since the socket was made
	inode  uint64
	Owner  Process // zero if it cannot be told
	pids   []int   // all that have it open: several if it was passed on
}

// parseSockets reads the text of /proc/net/udp, udp6, tcp or tcp6: of TCP what listens, of UDP what is not connected, for
// that receives from its peer alone. Lines that it does not understand are left out, and so is a socket that is there twice:
// the kernel writes the text in pieces, and others may come and go in between.
func parseSockets(text string, tcp bool) (all []Socket) {
	// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ref pointer drops
	const connected, listening = "01", "0A"
	seen := map[uint64]bool{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || tcp && f[3] != listening || !tcp && f[3] == connected {
			continue
		}
		local, ok := parseAddress(f[1])
		if !ok {
			continue
		}
		s := Socket{Local: local}
		_, received, _ := strings.Cut(f[4], ":")
		s.Queued, _ = strconv.ParseUint(received, 16, 64)
		s.inode, _ = strconv.ParseUint(f[9], 10, 64)
		if seen[s.inode] && s.inode != 0 {
			continue
		}
		seen[s.inode] = true
		if !tcp && len(f) > 12 {
			s.Drops, _ = strconv.ParseUint(f[12], 10, 64)
		}
		all = append(all, s)
	}
	return all
}

// parseAddress reads an address as /proc/net writes it: 32-bit words in the machine's byte order, and a port, in hex.
func parseAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	ip, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), true
}

// socketsOn returns the sockets of this network namespace that are bound to a port.
func socketsOn(network string, port uint16) (all []Socket) {
	for _, name := range []string{network, network + "6"} {
		text, _ := os.ReadFile("/proc/net/" + name)
		for _, s := range parseSockets(string(text), network == "tcp") {
			if s.Local.Port() == port {
				all = append(all, s)
			}
		}
	}
	return all
}

// listeners returns the listening TCP sockets of a process's network namespace, by its folder in /proc.
func listeners(folder string) (all []Socket) {
	for _, name := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(folder + "/net/" + name)
		all = append(all, parseSockets(string(text), true)...)
	}
	return all
}

// readNoPorts returns how many datagrams came to this network namespace for a port that nobody has.
func readNoPorts() uint64 {
	v4, _ := os.ReadFile("/proc/net/snmp")
	v6, _ := os.ReadFile("/proc/net/snmp6")
	return parseNoPorts4(string(v4)) + parseNoPorts6(string(v6))
}

// parseNoPorts4 reads the text of /proc/net/snmp: of each protocol a line of names, and one of values.
func parseNoPorts4(text string) (n uint64) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != "Udp:":
		case names == nil:
			names = f
		default:
			if i := slices.Index(names, "NoPorts"); i >= 0 && i < len(f) {
				n, _ = strconv.ParseUint(f[i], 10, 64)
			}
		}
	}
	return n
}

// parseNoPorts6 reads the text of /proc/net/snmp6: a name and a value in each line.
func parseNoPorts6(text string) (n uint64) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Udp6NoPorts" {
			n, _ = strconv.ParseUint(f[1], 10, 64)
		}
	}
	return n
}
