package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/elrar/state-gateway/internal/config"
)

// passedSockets are sockets that whoever started this process has bound for it, and keeps open when it ends, as systemd
// does for a socket unit: what arrives between two runs waits in them. The zero value has none.
type passedSockets struct {
	udp  []*net.UDPConn
	http *net.TCPListener // or nil
}

// takePassed sorts passed files by what they are: UDP sockets receive states, a TCP listener is for HTTP. Anything else
// is a mistake of whoever passes it, and the error says which; then nothing is left open.
func takePassed(files []*os.File, mode config.NetworkMode) (p passedSockets, err error) {
	var bad []error
	for i, f := range files {
		if err := p.take(f); err != nil {
			const first = 3 // SD_LISTEN_FDS_START
			bad = append(bad, fmt.Errorf("passed socket %d (%s): %w", first+i, oneLine(f.Name()), err))
		}
		f.Close() // what was taken is a descriptor of its own
	}
	if mode == config.Broadcast && len(p.udp) > 1 {
		bad = append(bad, fmt.Errorf("VLLM_STATE_GATEWAY_NETWORK_MODE=broadcast: %d UDP sockets were passed, and each would get every broadcast; "+
			"pass one", len(p.udp)))
	}
	if bad != nil {
		p.close()
		return passedSockets{}, &exitError{exitConfig, errors.Join(bad...)}
	}
	return p, nil
}

func (p *passedSockets) take(f *os.File) error {
	const wanted = "; pass UDP sockets (ListenDatagram=) for states, and one TCP listener (ListenStream=) for HTTP"
	if c, err := net.FilePacketConn(f); err == nil {
		udp, ok := c.(*net.UDPConn)
		switch {
		case !ok:
			err = fmt.Errorf("a %s socket%s", c.LocalAddr().Network(), wanted)
		case udp.RemoteAddr() != nil:
			err = fmt.Errorf("a UDP socket that hears %v only: it is connected", udp.RemoteAddr())
		case udp.LocalAddr().(*net.UDPAddr).Port == 0:
			err = errors.New("a UDP socket that is not bound to a port")
		default:
			p.udp = append(p.udp, udp)
			return nil
		}
		c.Close()
		return err
	}
	l, err := net.FileListener(f)
	if err != nil {
		return errors.New("neither a UDP socket nor a TCP listener" + wanted)
	}
	tcp, ok := l.(*net.TCPListener)
	switch {
	case !ok || !listens(tcp):
		err = fmt.Errorf("a TCP socket that does not listen%s", wanted)
	case p.http != nil:
		err = fmt.Errorf("a second TCP listener: HTTP has one address, and %v was passed already", p.http.Addr())
	default:
		p.http = tcp
		return nil
	}
	l.Close()
	return err
}

// listens tells a listener from a TCP socket that is connected, or nothing yet.
func listens(l *net.TCPListener) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	accepts := 0
	raw.Control(func(fd uintptr) {
		accepts, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	return err == nil && accepts != 0
}

// udpAddresses returns what the UDP sockets are bound to.
func (p passedSockets) udpAddresses() (all []netip.AddrPort) {
	for _, c := range p.udp {
		a := c.LocalAddr().(*net.UDPAddr).AddrPort()
		all = append(all, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	}
	return all
}

// httpAddress returns what the listener is bound to, or an invalid address if there is none.
func (p passedSockets) httpAddress() netip.AddrPort {
	if p.http == nil {
		return netip.AddrPort{}
	}
	a := p.http.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (p passedSockets) close() {
	for _, c := range p.udp {
		c.Close()
	}
	if p.http != nil {
		p.http.Close()
	}
}
