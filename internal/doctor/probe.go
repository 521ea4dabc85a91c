package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Probe is an empty datagram, sent to see whether it gets to the gateway: it is counted as rejected for being empty, and
// changes nothing else. A valid one would show routers an engine that is not there.
type Probe struct {
	Name    string // what the address is
	Target  netip.AddrPort
	Counted uint64 // how much the gateway's count of empty datagrams rose
	Error   string // why it could not be sent; a refusal means that nobody receives there
}

// probeTimeout is how long a probe may take: a datagram on this host, and an answer of /stats.
const probeTimeout = 2 * time.Second

// probe sends one empty datagram and waits until the gateway has counted it.
func (a asker) probe(ctx context.Context, name string, target netip.AddrPort) (p Probe) {
	p = Probe{Name: name, Target: target}
	before, err := a.stats(ctx)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
	if err != nil {
		p.Error = reason(err)
		return p
	}
	defer conn.Close()
	if _, err := conn.Write(nil); err != nil {
		p.Error = reason(err)
		return p
	}
	reply := make([]byte, 1) // a gateway sends none
	for end := time.Now().Add(probeTimeout); time.Now().Before(end) && ctx.Err() == nil; {
		// A refusal by ICMP is the socket's error; the deadline is also the pause between two questions.
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := conn.Read(reply); err != nil && !isTimeout(err) {
			p.Error = reason(err)
			return p
		}
		if now, err := a.stats(ctx); err == nil && now.Rejected["empty"] > before.Rejected["empty"] {
			p.Counted = now.Rejected["empty"] - before.Rejected["empty"]
			return p
		}
	}
	return p
}

// reason returns an error of a socket without the addresses, which the finding has.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
