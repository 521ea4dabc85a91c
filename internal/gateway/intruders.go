package gateway

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/procfs"
)

// intruderInterval is how often the port is looked at. Reading /proc/net/udp costs the kernel some 10 µs a hundred sockets.
const intruderInterval = 10 * time.Second

// watchPort says when another process's socket shares the UDP port, and when none does any more. Such a socket takes the
// flows of some engines away, of which the gateway sees nothing: the kernel lets a process of the same user join a port of
// several sockets (SO_REUSEPORT).
func (g *Gateway) watchPort(ctx context.Context) {
	own, err := g.engine.Inodes()
	if err != nil {
		return // not on this system
	}
	tick := time.NewTicker(intruderInterval)
	defer tick.Stop()
	for {
		n, err := intruders(g.engine.Address(), own)
		if err != nil {
			g.log.Debug("the sockets of the UDP port are not known", "error", err.Error())
		} else if before := g.intruders.Swap(int64(n)); n > 0 && before == 0 {
			g.log.Error("another process has sockets on the UDP port, and takes a part of the engines' states; end it",
				"udp", g.engine.Address().String(), "sockets", n, "see", "ss -ulpn")
		} else if n == 0 && before > 0 {
			g.log.Info("no other process has a socket on the UDP port any more", "udp", g.engine.Address().String())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// intruders counts the UDP sockets of this network namespace that get what is sent to an address, but for those with the
// inodes own, and those that are connected to one peer.
func intruders(address netip.AddrPort, own []uint64) (n int, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	v4, err := fs.NetUDP()
	if err != nil {
		return 0, err
	}
	v6, _ := fs.NetUDP6() // there is none without IPv6
	known := slices.Clone(own)
	for _, lines := range [...]procfs.NetUDP{v4, v6} {
		for _, l := range lines {
			local, _ := netip.AddrFromSlice(l.LocalAddr)
			local = local.Unmap()
			if l.LocalPort == uint64(address.Port()) && l.RemPort == 0 && !slices.Contains(known, l.Inode) &&
				(local == address.Addr() || local.IsUnspecified() || address.Addr().IsUnspecified()) {
				known = append(known, l.Inode) // the kernel may show one twice, when others come and go meanwhile
				n++
			}
		}
	}
	return n, nil
}
