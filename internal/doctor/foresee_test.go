package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/elrar/state-gateway/internal/config"
)

func TestForesee(t *testing.T) {
	hostContainer := bareMetal()
	hostContainer.Container = "/.dockerenv"
	bridgeWithoutRoute := inContainer()
	bridgeWithoutRoute.Links[0].Default = false
	macvlan := inContainer()
	macvlan.Links[0].Driver = "macvlan"
	sandbox := inContainer()
	sandbox.Links[0].Driver = ""
	noNetwork := Place{Container: "/.dockerenv", Links: []Link{lo()}}
	hostWithContainers := bareMetal() // the other ends of the containers' interfaces
	hostWithContainers.Links = append(hostWithContainers.Links, Link{Name: "veth1234", Driver: "veth"})
	hostContainer2 := hostWithContainers
	hostContainer2.Container = "/.dockerenv"
	small := bareMetal()
	small.Memory, small.MemoryOf = 128<<20, "this container's limit"

	for _, test := range []struct {
		name    string
		place   Place
		address string // "" = the default
		mode    config.NetworkMode
		level   Level // "" = nothing
		words   string
	}{
		{"the defaults", bareMetal(), "", "", "", ""},
		{"the defaults in a container", inContainer(), "", "", "", ""},
		{"every IPv6 interface", inContainer(), "::", "", "", ""},
		{"a concrete address", bareMetal(), "192.0.2.7", "", Note, "is not received"},
		{"loopback", bareMetal(), "127.0.0.1", "", Note, "only engines on this host"},
		{"IPv6 loopback", bareMetal(), "::1", "", Note, "only engines on this host"},
		{"a foreign address", bareMetal(), "198.51.100.1", "", Problem, "no address of this host, which has 192.0.2.7"},
		{"a foreign address in a container", inContainer(), "198.51.100.1", "", Problem, "no address of this container, which has 192.0.2.7"},
		{"a container's address", inContainer(), "192.0.2.7", "", Problem, "this container's own address"},
		{"a container's address, by macvlan", macvlan, "192.0.2.7", "", Problem, "this container's own address"},
		{"a container's address, in a sandbox", sandbox, "192.0.2.7", "", Problem, "this container's own address"},
		{"a container's address, no default route", bridgeWithoutRoute, "192.0.2.7", "", Problem, "this container's own address"},
		{"a container's loopback", inContainer(), "127.0.0.1", "", Problem, "only what runs in this container"},
		{"a container without a network", noNetwork, "127.0.0.1", "", Problem, "only what runs in this container"},
		{"the host's address in a container on its network", hostContainer, "192.0.2.7", "", Note, "is not received"},
		{"the same beside other containers", hostContainer2, "192.0.2.7", "", Note, "is not received"},
		{"broadcast on a host", hostWithContainers, "", config.Broadcast, "", ""},
		{"broadcast in a container on the host's network", hostContainer2, "", config.Broadcast, "", ""},
		{"broadcast on a bridge", inContainer(), "", config.Broadcast, Problem, "--network host"},
		{"broadcast on a macvlan", macvlan, "", config.Broadcast, "", ""},
		{"little memory", small, "", "", Problem, "10000 engines with a history of 100 states"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := healthy(t).Settings
			if test.mode != "" {
				s.NetworkMode = test.mode
			}
			if test.address != "" {
				s.BindAddress = netip.MustParseAddr(test.address)
			}
			got := Foresee(s, test.place)
			if test.level == "" && len(got) == 0 {
				return
			}
			if len(got) != 1 || got[0].Level != test.level || !strings.Contains(got[0].Saw+got[0].Do, test.words) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestForeseeMemory(t *testing.T) {
	p := bareMetal()
	p.Memory, p.MemoryOf = 24<<30, "this machine's memory"
	s := healthy(t).Settings
	for _, test := range []struct {
		history, engines int
		enough           bool
	}{{100, 10_000, true}, {1000, 100_000, true}, {100_000, 10_000, false}, {100, 10_000_000, false}} {
		s.History, s.MaxEngines = test.history, test.engines
		if got := Foresee(s, p); (len(got) == 0) != test.enough {
			t.Errorf("%d × %d: %+v", test.history, test.engines, got)
		}
	}
}

func TestForeseeLogInTheLayer(t *testing.T) {
	p := inContainer()
	p.LogLayer = "/logs"
	s := healthy(t).Settings
	got := Foresee(s, p)
	if len(got) != 1 || got[0].Level != Problem || !strings.Contains(got[0].Do, "-v /tmp/elrar:/logs") || !strings.Contains(got[0].Saw, s.LogFile) {
		t.Errorf("%+v", got)
	}
	if s.EnableLog = false; len(Foresee(s, p)) != 0 {
		t.Error("the log is off")
	}
}

func TestTooLarge(t *testing.T) {
	p := bareMetal()
	s := healthy(t).Settings
	for _, test := range []struct {
		memory           uint64
		history, engines int
		fits             bool
	}{
		{0, 100_000, 10_000_000, true}, // not known
		{24 << 30, 100, 10_000, true},
		{128 << 20, 100, 10_000, true}, // tight, which is warned of
		{64 << 20, 100, 10_000, false},
		{64 << 20, 100, 5_000, true},
		{64 << 20, 10, 10_000, true},
		{24 << 30, 100, 10_000_000, false},
	} {
		p.Memory, p.MemoryOf, s.History, s.MaxEngines = test.memory, "this container's limit", test.history, test.engines
		err := TooLarge(s, p)
		if (err == nil) != test.fits {
			t.Errorf("%+v: %v", test, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "VLLM_STATE_GATEWAY_MAX_ENGINES=") || !strings.Contains(err.Error(), p.MemoryOf)) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestBindTrouble(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, test := range []struct {
		err     error
		address netip.AddrPort
		place   Place
		want    string
	}{
		{syscall.EADDRINUSE, address, bareMetal(), "has this port (a second gateway?)"}, // who is this process, which does not count itself
		{syscall.EADDRNOTAVAIL, netip.MustParseAddrPort("198.51.100.1:9"), bareMetal(), "198.51.100.1 is no address of this host, which has 192.0.2.7; 0.0.0.0 means every interface"},
		{syscall.EADDRNOTAVAIL, netip.MustParseAddrPort("198.51.100.1:9"), inContainer(), "is right in a container"},
		{syscall.EADDRNOTAVAIL, netip.AddrPort{}, bareMetal(), "no address of this host"},
		{syscall.EACCES, netip.MustParseAddrPort("0.0.0.0:9"), bareMetal(), "CAP_NET_BIND_SERVICE"},
		{syscall.EIO, netip.MustParseAddrPort("0.0.0.0:9"), bareMetal(), ""},
	} {
		got := BindTrouble(fmt.Errorf("listen: %w", test.err), "udp", test.address, test.place)
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestContainer(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"0::/\n":                              "",
		"0::/init.scope\n":                    "",
		"12:cpu:/docker/0123\n":               "docker",
		"3:cpu:/kubepods/besteffort/pod1/2\n": "kubepods",
	} {
		if got := containerGroup(text); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q", text, got)
		}
	}
	nobody := func(string) string { return "" }
	if container(nobody) == "" {
		pod := func(name string) string { return map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}[name] }
		if got := container(pod); got != "the variable KUBERNETES_SERVICE_HOST" {
			t.Errorf("in a pod: %q", got)
		}
	}
}

// What is looked at really is there: the loopback interface, and this machine's memory.
func TestLook(t *testing.T) {
	p := Look(os.Getenv, "")
	if !p.Local(loopback) || p.Local(netip.MustParseAddr("192.0.2.255")) || len(p.Links) == 0 {
		t.Errorf("%+v", p)
	}
	if p.Memory < 16<<20 || p.MemoryOf == "" {
		t.Errorf("memory: %d, %s", p.Memory, p.MemoryOf)
	}
}

func TestDefaultRoutes(t *testing.T) {
	const v4 = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
tun0	00000000	0100000A	0003	0	0	0	00000080	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
`
	if got := fmt.Sprint(defaultRoutes4(v4)); got != "[eth0]" {
		t.Errorf("IPv4: %s", got)
	}
	const zero = "00000000000000000000000000000000"
	v6 := "fd000000000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001     eth0\n" +
		zero + " 00 " + zero + " 00 " + "fd000000000000000000000000000001" + " 00000400 00000001 00000000 00000003     eth1\n" +
		zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n"
	if got := fmt.Sprint(defaultRoutes6(v6)); got != "[eth1]" {
		t.Errorf("IPv6: %s", got)
	}
}
