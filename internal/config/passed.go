package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Passed returns s with what sockets fix that whoever starts the program has bound for it, and a line for each setting
// that f gives and that says otherwise. udp are the addresses of the sockets that receive, http that of the listener;
// none, or an invalid one, leave s as it is there.
func (s Settings) Passed(f Flags, udp []netip.AddrPort, http netip.AddrPort) (_ Settings, warnings []string) {
	const ignored = "%s (--%s): %v has no effect with the sockets that were passed: %s"
	if len(udp) > 0 {
		if f.Workers != nil && s.Workers != len(udp) {
			warnings = append(warnings, fmt.Sprintf(ignored, Prefix+"WORKERS", "workers", s.Workers,
				fmt.Sprintf("each has one reader, and there are %d", len(udp))))
		}
		if port := udp[0].Port(); f.UDPPort != nil && s.UDPPort != port {
			warnings = append(warnings, fmt.Sprintf(ignored, Prefix+"UDP_PORT", "udp-port", s.UDPPort,
				fmt.Sprintf("they are bound to port %d", port)))
		}
		if address := udp[0].Addr(); !sameInterfaces(s.BindAddress, address) {
			if f.BindAddress != nil {
				warnings = append(warnings, fmt.Sprintf(ignored, Prefix+"BIND_ADDRESS", "bind-address", s.BindAddress,
					fmt.Sprintf("they are bound to %v", address)))
			}
			s.BindAddress = address
		}
		if s.NetworkMode == Broadcast && !s.BindAddress.IsUnspecified() {
			warnings = append(warnings, fmt.Sprintf("the passed socket is bound to %v and hears no broadcast: bind it to 0.0.0.0", s.BindAddress))
		}
		s.Workers, s.UDPPort = len(udp), udp[0].Port()
	}
	if http.IsValid() {
		if f.HTTPAddress != nil && !sameListener(s.HTTPAddress, http) {
			warnings = append(warnings, fmt.Sprintf(ignored, Prefix+"HTTP_ADDRESS", "http-address", s.HTTPAddress,
				fmt.Sprintf("one listens on %v", http)))
		}
		s.HTTPAddress = http.String()
	}
	return s, warnings
}

// sameInterfaces reports whether two addresses to bind are the same to those who send: 0.0.0.0 as a setting means every
// interface of both families, and :: is how such a socket calls itself.
func sameInterfaces(setting, socket netip.Addr) bool {
	return setting == socket || setting == netip.IPv4Unspecified() && socket == netip.IPv6Unspecified()
}

// sameListener is the same for the HTTP address, whose host may be empty, which means every interface, or a name, which
// is taken for the listener's.
func sameListener(setting string, listener netip.AddrPort) bool {
	host, port, err := net.SplitHostPort(setting)
	if err != nil || port != strconv.Itoa(int(listener.Port())) {
		return false
	}
	address, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && address.IsUnspecified():
		return listener.Addr().IsUnspecified()
	case err != nil:
		return true
	default:
		return address.Unmap() == listener.Addr()
	}
}
