package engine

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// listen binds cfg.Workers sockets to one port.
//
// With SO_REUSEPORT alone, a second process could bind the same port and silently take its share of the flows. So the
// first socket is bound without it, which fails if anybody has the port; it gets the option afterwards, and only then
// do the others join it. A second gateway fails at its own first, exclusive bind.
func listen(cfg Config) (conns []*net.UDPConn, err error) {
	defer func() {
		if err != nil {
			closeAll(conns)
		}
	}()
	network, host := "udp", cfg.Address.String()
	switch {
	case cfg.Broadcast:
		network, host = "udp4", "0.0.0.0"
	case cfg.Address.IsUnspecified():
		host = "" // the net package's wildcard: one socket for both families, or IPv4 alone without IPv6
		if cfg.Address.Is6() {
			host = "::"
		}
	}
	first, err := bind(network, host, cfg.Port, nil)
	if err != nil {
		return nil, err
	}
	conns = append(conns, first)
	if cfg.Workers == 1 {
		return conns, nil
	}
	raw, err := first.SyscallConn()
	if err != nil {
		return conns, err
	}
	if err := reusePort("", "", raw); err != nil {
		return conns, fmt.Errorf("SO_REUSEPORT: %w", err)
	}
	port := first.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for len(conns) < cfg.Workers {
		conn, err := bind(network, host, port, reusePort)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func bind(network, host string, port uint16, control func(network, address string, c syscall.RawConn) error) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: control}
	conn, err := lc.ListenPacket(context.Background(), network, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func reusePort(_, _ string, c syscall.RawConn) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = mmsg.SetReusePort(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func closeAll(conns []*net.UDPConn) {
	for _, c := range conns {
		c.Close()
	}
}
