package config

import (
	"cmp"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// address is a kind for an IP address to bind.
type address struct{ to *netip.Addr }

func (a address) set(text string) bool {
	ip, err := netip.ParseAddr(text)
	ip = ip.Unmap()
	if err != nil || ip.IsMulticast() {
		return false
	}
	*a.to = ip
	return true
}

func (a address) text() string { return a.to.String() }

func (a address) allowed() string {
	return "an IPv4 or IPv6 address (no host name, not multicast)"
}

// hostPort is a kind for an address that listens: a host or nothing, a colon, a port number.
type hostPort struct{ to *string }

// hostName is wide on purpose: whether a name exists is for the resolver to say.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?$`)

func (h hostPort) set(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostName.MatchString(host) {
		return false
	}
	*h.to = text
	return true
}

func (h hostPort) text() string { return *h.to }

func (h hostPort) allowed() string {
	return "host:port, the host a name, an address ([…] around IPv6) or empty for all, the port from 0 to 65535"
}

// hostPortOrOff is an address that listens, or none, which is the empty one.
type hostPortOrOff struct{ hostPort }

func (h hostPortOrOff) set(text string) bool {
	if strings.EqualFold(text, "off") {
		*h.to = ""
		return true
	}
	return h.hostPort.set(text)
}

func (h hostPortOrOff) text() string { return cmp.Or(*h.to, "off") }

func (h hostPortOrOff) allowed() string { return "off, or " + h.hostPort.allowed() }
