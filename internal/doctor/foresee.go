package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/internal/gateway"
)

// Foresee returns what of the settings cannot work in this place, or not as one might think. It does not look at what
// others have taken.
func Foresee(s config.Settings, p Place) []Finding {
	var f findings
	f.bindAddress(s, p)
	f.broadcast(s, p)
	f.memory(s, p)
	f.layer(s, p)
	return f
}

// bindAddress: the deployment guide's first rule. In broadcast mode the address is 0.0.0.0 whatever is set.
func (f *findings) bindAddress(s config.Settings, p Place) {
	const (
		variable = "VLLM_STATE_GATEWAY_BIND_ADDRESS"
		every    = "set " + variable + "=0.0.0.0"
	)
	a := s.BindAddress
	switch {
	case a.IsUnspecified():
	case !p.Local(a):
		f.add(Problem, "network", every, "%s=%v is no address of this %s, which has %s", variable, a, p.name(), list(p.Addresses(), 6))
	case a.IsLoopback() && p.OwnNetwork():
		f.add(Problem, "network", every, "%s=%v: only what runs in this container, or in its pod, can send to it", variable, a)
	case p.OwnNetwork():
		f.add(Problem, "network", every+"; the container's network is isolated as it is",
			"%s=%v is this container's own address: it changes when the container is made anew, and cuts off its other networks", variable, a)
	case a.IsLoopback():
		f.add(Note, "network", "", "%s=%v: only engines on this host can send to it", variable, a)
	default:
		f.add(Note, "network", "", "%s=%v: what is sent to another address of this host, or to 127.0.0.1, is not received", variable, a)
	}
}

func (f *findings) broadcast(s config.Settings, p Place) {
	if s.NetworkMode == config.Broadcast && p.Bridged() {
		f.add(Problem, "network", "run the container on the host's network (--network host; hostNetwork: true), "+
			"or let the engines send to the gateway's address (VLLM_STATE_GATEWAY_NETWORK_MODE=unicast)",
			"VLLM_STATE_GATEWAY_NETWORK_MODE=broadcast behind a bridge network: broadcasts do not cross it, so those of engines outside are not received")
	}
}

// TooLarge returns an error if the full table alone does not fit into the memory of this place: the kernel would kill the
// gateway when the engines have come.
func TooLarge(s config.Settings, p Place) error {
	need := gateway.TableMemory(s)
	if p.Memory == 0 || need <= p.Memory {
		return nil
	}
	return fmt.Errorf("VLLM_STATE_GATEWAY_MAX_ENGINES=%d with VLLM_STATE_GATEWAY_HISTORY=%d takes %s when all engines are there, more than %s of %s: "+
		"lower one of them, or give it more memory", s.MaxEngines, s.History, bytes(need), p.MemoryOf, bytes(p.Memory))
}

func (f *findings) memory(s config.Settings, p Place) {
	if need := gateway.Memory(s); p.Memory != 0 && need > p.Memory {
		f.add(Problem, "memory", "lower VLLM_STATE_GATEWAY_HISTORY or VLLM_STATE_GATEWAY_MAX_ENGINES, or give it more memory",
			"%d engines with a history of %d states, and queues and buffers that are full, take about %s; %s is %s",
			s.MaxEngines, s.History, bytes(need), p.MemoryOf, bytes(p.Memory))
	}
}

// layer: a log in the container's own layer grows on the host's disk where nobody looks, and goes with the container.
func (f *findings) layer(s config.Settings, p Place) {
	if s.EnableLog && p.LogLayer != "" {
		f.add(Problem, "log", "mount a directory of the host there (docker run -v /tmp/elrar:"+p.LogLayer+"; in Kubernetes a volume), "+
			"or set VLLM_STATE_GATEWAY_ENABLE_LOG=false",
			"the state log %s is in the container's own layer: it fills the host's disk (1,000 engines at 200 ms: 140 GB a day), and is gone with docker rm", s.LogFile)
	}
}

// BindTrouble explains, in an operator's words, why an address and port of a network (udp or tcp) could not be bound, or
// returns "" when there is nothing to add. An invalid address is a name.
func BindTrouble(err error, network string, address netip.AddrPort, p Place) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		who := "another process"
		if holders := holders(network, address.Port()); len(holders) > 0 {
			who = holders[0].String()
		}
		return who + " has this port (a second gateway?)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		if !address.Addr().IsValid() {
			return "no address of this " + p.name()
		}
		text := fmt.Sprintf("%v is no address of this %s, which has %s; 0.0.0.0 means every interface", address.Addr(), p.name(), list(p.Addresses(), 6))
		if p.OwnNetwork() {
			text += ", and is right in a container: its addresses change when it is made anew"
		}
		return text
	case errors.Is(err, syscall.EACCES):
		return "no permission: ports below 1024 need CAP_NET_BIND_SERVICE"
	default:
		return ""
	}
}
