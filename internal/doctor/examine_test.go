package doctor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/config"
)

var (
	loopback  = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
	own       = netip.MustParseAddr("192.0.2.7")
)

func lo() Link {
	return Link{Name: "lo", Loopback: true, Addresses: []netip.Addr{loopback, loopback6}}
}

// bareMetal is a host, inContainer a container on a bridge.
func bareMetal() Place {
	return Place{IPv6: true, Links: []Link{{Name: "eth0", Driver: "virtio_net", Default: true, Addresses: []netip.Addr{own}}, lo()}}
}

func inContainer() Place {
	return Place{Container: "/.dockerenv", Links: []Link{{Name: "eth0", Driver: "veth", Default: true, Addresses: []netip.Addr{own}}, lo()}}
}

// healthy are the facts of a gateway that works: 1,000 datagrams/s for 3 s.
func healthy(t *testing.T) Facts {
	t.Helper()
	s, _, err := config.Flags{}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	was := Stats{TotalReceived: 10_003, Applied: 10_000, Rejected: map[string]uint64{"empty": 3, "json": 0}, NetworkMode: "unicast", BindAddress: "0.0.0.0",
		UDPPort: 9999, ActiveEngines: 2, TotalEngines: 2, LogEnabled: true, Logged: 10_000, UptimeSeconds: 60, Version: "1.2.3"}
	is := was
	is.TotalReceived, is.Applied, is.Logged, is.UptimeSeconds = 13_003, 13_000, 13_000, 63
	p := Process{PID: 42, Command: "gw-2", Gateway: true}
	return Facts{
		Settings: s,
		Place:    bareMetal(),
		URL:      "http://127.0.0.1:8080",
		Gateway: &Gateway{Version: "1.2.3", Before: was, After: is, Watched: 3 * time.Second, Buffers: []int{8 << 20, 8 << 20},
			Engines: []Engine{
				{EngineID: "a", Status: "fresh", PushIntervalMs: 100, SourceAddr: "192.0.2.1:1"},
				{EngineID: "b", Status: "idle", SourceAddr: "192.0.2.1:2"}}},
		Gateways: []Process{p},
		Port:     9999,
		UDP:      []Socket{{Local: netip.MustParseAddrPort("[::]:9999"), Owner: p}, {Local: netip.MustParseAddrPort("[::]:9999"), Owner: p}},
		Probes: []Probe{
			{Name: "loopback", Target: netip.AddrPortFrom(loopback, 9999), Counted: 1},
			{Name: "IPv6", Target: netip.AddrPortFrom(loopback6, 9999), Counted: 1},
			{Name: "own", Target: netip.AddrPortFrom(own, 9999), Counted: 1}},
		Log:     LogFile{Path: "/data/engine_states.jsonl", Exists: true, Size: [2]int64{1, 2}, Free: 1 << 40, Known: true, Open: true},
		RmemMax: 8 << 20,
	}
}

// find returns the findings that have a level and an about, and all of the words.
func find(all []Finding, level Level, about string, words ...string) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool {
		text := f.Saw + " → " + f.Do
		return f.Level != level || f.About != about || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
	})
}

func TestHealthy(t *testing.T) {
	got := Examine(healthy(t))
	for _, f := range got {
		if f.Level != OK || f.Do != "" {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []struct{ about, words string }{
		{"settings", "all are defaults"}, {"network", "eth0 192.0.2.7"}, {"gateway", "1.2.3"}, {"sockets", "2 UDP sockets on [::]:9999, of process 42"},
		{"sockets", "8 MiB"}, {"sockets", "dropped nothing"}, {"way", "127.0.0.1:9999, [::1]:9999, 192.0.2.7:9999"},
		{"arrival", "1000 valid datagrams a second"}, {"engines", "2 engines: 1 fresh, 1 idle"}, {"engines", "from 192.0.2.1 (2 engines, 10 states/s)"},
		{"log", "/data/engine_states.jsonl: 3000 lines"},
	} {
		if len(find(got, OK, want.about, want.words)) != 1 {
			t.Errorf("no %s: %q in %+v", want.about, want.words, got)
		}
	}
}

// Each case changes the facts of a gateway that works, and names every note and problem that must be found then.
func TestExamine(t *testing.T) {
	type want struct {
		level Level
		about string
		words []string
	}
	problem := func(about string, words ...string) want { return want{Problem, about, words} }
	note := func(about string, words ...string) want { return want{Note, about, words} }
	elsewhere := func(f *Facts) { // seen from the host of a container
		f.UDP, f.Gateways = nil, []Process{{PID: 42, Command: "gw-2", Gateway: true, Elsewhere: true}}
		f.Log = LogFile{}
	}
	silent := func(f *Facts) { // nothing has ever come but the probes
		f.Gateway.Engines = nil
		s := Stats{TotalReceived: 3, Rejected: map[string]uint64{"empty": 3}, NetworkMode: "unicast", BindAddress: "0.0.0.0", UDPPort: 9999,
			LogEnabled: true, UptimeSeconds: 60}
		f.Gateway.Before, f.Gateway.After = s, s
	}
	noGateway := func(f *Facts) {
		f.Gateway, f.GatewayError = nil, "connection refused"
		f.Gateways, f.UDP, f.Probes = nil, nil, nil
		f.Log = LogFile{Path: "/data/x", Free: 1 << 40}
	}
	reject := func(f *Facts, reason string, n uint64) {
		f.Gateway.After.Rejected = map[string]uint64{"empty": 3, reason: n}
		f.Gateway.After.TotalReceived += n
	}
	for _, test := range []struct {
		name   string
		change func(f *Facts)
		want   []want
	}{
		{"settings that are given", func(f *Facts) {
			f.Given = []Given{{"VLLM_STATE_GATEWAY_LOG_FILE", "a\nb", "flag"}}
			f.Unknown = []config.Unknown{{Name: "VLLM_STATE_GATEWAY_UPD_PORT", Nearest: "VLLM_STATE_GATEWAY_UDP_PORT"}}
		}, []want{note("settings", "VLLM_STATE_GATEWAY_UPD_PORT")}},
		{"a gateway with other settings", func(f *Facts) {
			f.Settings.UDPPort, f.Settings.NetworkMode = 1, config.Broadcast
		}, []want{note("settings", "NETWORK_MODE=unicast instead of broadcast", "UDP_PORT=9999 instead of 1")}},

		{"no gateway", noGateway, []want{problem("gateway", "http://127.0.0.1:8080: connection refused", "docker logs"),
			note("sockets", "UDP port 9999 is free"), note("log", "not there yet")}},
		{"a gateway in a container only", func(f *Facts) {
			noGateway(f)
			f.Gateways = []Process{{PID: 7, Command: "gw-2", Gateway: true, Elsewhere: true}}
		}, []want{problem("gateway", "another network namespace", "docker exec elrar-state-gateway state-gateway doctor", "nsenter -n -t 7"),
			note("sockets", "free"), note("log")}},
		{"a gateway at another HTTP address", func(f *Facts) {
			noGateway(f)
			f.Gateways = []Process{{PID: 7, Command: "gw-2", Gateway: true, Listens: netip.MustParseAddrPort("127.0.0.1:8081")}}
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: f.Gateways[0]}}
		}, []want{problem("gateway", "process 7", "127.0.0.1:8081", "--url"), note("sockets", "process 7 (gw-2) has UDP port 9999"), note("log")}},
		{"a gateway that is frozen", func(f *Facts) {
			noGateway(f)
			f.Silent, f.Server = true, Process{PID: 7, Command: "gw-2", Gateway: true, Stopped: true}
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: f.Server}}
		}, []want{problem("gateway", "process 7 (gw-2) is frozen", "kill -CONT 7"), note("sockets", "process 7 (gw-2) has"), note("log")}},
		{"a frozen gateway at another HTTP address", func(f *Facts) {
			noGateway(f)
			f.Gateways = []Process{{PID: 7, Command: "gw-2", Gateway: true}, {PID: 8, Command: "gw-3", Gateway: true, Stopped: true}}
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: f.Gateways[1]}}
		}, []want{problem("gateway", "process 8 (gw-3) is frozen", "kill -CONT 8"), note("sockets", "process 8 (gw-3) has"), note("log")}},
		{"a frozen gateway of another port, and one in a container", func(f *Facts) {
			noGateway(f)
			f.Gateways = []Process{{PID: 8, Command: "gw-3", Gateway: true, Stopped: true}, {PID: 7, Command: "gw-2", Gateway: true, Elsewhere: true}}
		}, []want{problem("gateway", "in another network namespace", "process 7 (gw-2)"), note("sockets", "free"), note("log")}},
		{"a frozen gateway behind Docker's proxy", func(f *Facts) {
			noGateway(f)
			f.Silent = true
			f.Gateways = []Process{{PID: 8, Command: "gw-3", Gateway: true, Stopped: true, Elsewhere: true}}
		}, []want{problem("gateway", "process 8 (gw-3) is frozen", "kill -CONT 8"), note("sockets", "free"), note("log")}},
		{"another gateway is frozen, not the server", func(f *Facts) {
			noGateway(f)
			f.Silent, f.Server = true, Process{PID: 9, Command: "python3"}
			f.Gateways = []Process{{PID: 8, Command: "gw-3", Gateway: true, Stopped: true}}
		}, []want{problem("gateway", "process 9 (python3) takes connections"), note("sockets", "free"), note("log")}},
		{"connections without an answer", func(f *Facts) { noGateway(f); f.Silent = true },
			[]want{problem("gateway", "something takes connections", "docker unpause"), note("sockets", "free"), note("log")}},
		{"a program that is only called so has the port", func(f *Facts) {
			noGateway(f)
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: Process{PID: 7, Command: "state-gateway"}}}
		}, []want{problem("gateway"), problem("sockets", "process 7 (state-gateway) has UDP port 9999", "stop it"), note("log")}},
		{"another process has the port", func(f *Facts) {
			noGateway(f)
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: Process{PID: 7, Command: "python3"}}}
		}, []want{problem("gateway"), problem("sockets", "process 7 (python3) has UDP port 9999", "UDP_PORT"), note("log")}},
		{"published as TCP", func(f *Facts) {
			noGateway(f)
			f.TCP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: Process{PID: 7, Command: proxyCommand}}}
		}, []want{problem("gateway"), problem("sockets", "as TCP", "-p 9999:9999/udp"), note("log")}},
		{"published as TCP, HTTP too", func(f *Facts) {
			silent(f)
			elsewhere(f)
			f.TCP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: Process{PID: 7, Command: proxyCommand}}}
			for i := range f.Probes {
				f.Probes[i].Counted, f.Probes[i].Error = 0, "connection refused"
			}
		}, []want{problem("sockets", "as TCP", "-p 9999:9999/udp"),
			note("way", "127.0.0.1:9999, [::1]:9999, 192.0.2.7:9999", "-p 9999:9999/udp"),
			problem("arrival", "conntrack -D -p udp --dport 9999", "published as TCP"), note("engines", "none")}},
		{"published as it should be", func(f *Facts) {
			elsewhere(f)
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: Process{PID: 7, Command: proxyCommand}}}
			f.Probes[0].Counted = 0 // by way of the proxy's process, not of address translation
		}, nil},
		{"published under another port", func(f *Facts) {
			elsewhere(f)
			f.Port = 8888
			for i := range f.Probes {
				f.Probes[i].Counted = 0
			}
		}, []want{note("sockets", "UDP port 8888", "-p 8888:9999/udp"), note("way", "-p 8888:9999/udp")}},
		{"not published", elsewhere, []want{note("sockets", "another network namespace", "-p 9999:9999/udp")}},

		{"deaf", func(f *Facts) { f.Gateway.Live = "UDP reader 0 has stopped" }, []want{problem("gateway", "UDP reader 0 has stopped")}},
		{"just started", func(f *Facts) { f.Gateway.Ready = "for another 1s" }, []want{note("gateway", "for another 1s")}},
		{"somebody takes a share", func(f *Facts) {
			f.UDP = append(f.UDP, Socket{Local: netip.MustParseAddrPort("0.0.0.0:9999"), Owner: Process{PID: 7, Command: "python3"}})
		}, []want{problem("sockets", "process 7 (python3) has UDP port 9999 besides the gateway")}},
		{"a second gateway takes a share", func(f *Facts) {
			f.Server = f.Gateways[0]
			f.UDP[0].claim(f.Server)
			f.UDP[1].claim(f.Server)
			second := Socket{Local: netip.MustParseAddrPort("0.0.0.0:9999")}
			second.claim(Process{PID: 7, Command: "state-gateway", Gateway: true})
			f.UDP = append(f.UDP, second)
			f.Probes[0].Counted = 0
		}, []want{problem("sockets", "process 7 (state-gateway) has UDP port 9999 besides the gateway, with 1 socket"), problem("way", "another socket on the port")}},
		{"a port of whom cannot be seen", func(f *Facts) {
			noGateway(f)
			f.UDP = []Socket{{Local: netip.MustParseAddrPort("0.0.0.0:9999")}}
		}, []want{problem("gateway"), note("sockets", "a process that cannot be seen from here has UDP port 9999"), note("log")}},
		{"it hands its sockets over to a second gateway", func(f *Facts) {
			f.Server = f.Gateways[0]
			for i := range f.UDP {
				f.UDP[i].claim(f.Server)
				f.UDP[i].claim(Process{PID: 77, Command: "state-gateway", Gateway: true})
			}
		}, nil},
		{"a gateway behind a proxy of HTTP", func(f *Facts) { f.Server = Process{PID: 8, Command: "nginx", Gateway: true} }, nil},
		{"a share is taken by whom cannot be seen", func(f *Facts) { f.Gateway.Intruders = 2 },
			[]want{problem("sockets", "counts 2 sockets of other processes", "ss -ulpn")}},
		{"a share is taken in the container", func(f *Facts) { elsewhere(f); f.Gateway.Intruders = 1 },
			[]want{note("sockets", "another network namespace"), problem("sockets", "counts 1 socket of other processes")}},
		{"the same port at another address", func(f *Facts) {
			f.Settings.BindAddress, f.Gateway.Before.BindAddress, f.Gateway.After.BindAddress = own, own.String(), own.String()
			f.Probes = f.Probes[2:]
			f.UDP = []Socket{{Local: netip.AddrPortFrom(own, 9999), Owner: f.Gateways[0]},
				{Local: netip.MustParseAddrPort("192.0.2.8:9999"), Owner: Process{PID: 7, Command: "python3"}}}
		}, []want{note("network", "BIND_ADDRESS=192.0.2.7")}},
		{"systemd holds the sockets too", func(f *Facts) { f.UDP[0].Owner = Process{PID: 1, Command: "systemd"} }, nil},

		{"a clamped buffer", func(f *Facts) { f.Gateway.Buffers = []int{212992, 8 << 20}; f.RmemMax = 212992 },
			[]want{note("sockets", "208 KiB", "8 MiB were asked for", "sysctl -w net.core.rmem_max=8388608")}},
		{"a clamped buffer that loses", func(f *Facts) {
			f.Gateway.Buffers = []int{212992}
			f.Gateway.After.KernelDropped = 5
		}, []want{problem("sockets", "208 KiB"), problem("sockets", "dropped 5 datagrams in 3s", "rmem_max", "WORKERS")}},
		{"losses of the past", func(f *Facts) { f.Gateway.Before.KernelDropped, f.Gateway.After.KernelDropped = 5, 5 },
			[]want{note("sockets", "dropped 5 datagrams since the start, and none")}},
		{"a queue", func(f *Facts) { f.UDP[1].Queued = 15 << 20 }, []want{problem("sockets", "15 MiB wait", "CPU")}},

		{"a firewall on the host", func(f *Facts) { f.Probes[2].Counted = 0 },
			[]want{problem("way", "192.0.2.7:9999", "firewall")}},
		{"bound to one address", func(f *Facts) {
			f.Settings.BindAddress, f.Gateway.Before.BindAddress, f.Gateway.After.BindAddress = own, own.String(), own.String()
			f.Probes[0].Counted, f.Probes[1].Counted = 0, 0
		}, []want{note("network", "BIND_ADDRESS=192.0.2.7"), note("way", "127.0.0.1:9999", "bound to 192.0.2.7"), note("way", "[::1]:9999")}},
		{"broadcast mode has no IPv6", func(f *Facts) {
			f.Settings.NetworkMode = config.Broadcast
			f.Gateway.After.NetworkMode, f.Gateway.After.BroadcastReceived = "broadcast", 1
			f.Probes[1].Counted = 0
		}, []want{note("way", "[::1]:9999")}},

		{"nothing ever", silent, []want{problem("arrival", "nothing has arrived since the gateway started 1m0s ago", "1. the engines do not run", "ufw allow 9999/udp", "tcpdump"),
			note("engines", "none is held")}},
		{"nothing ever, in a container", func(f *Facts) {
			silent(f)
			f.Place = inContainer()
		}, []want{problem("arrival", "1. engines that have sent since before", "docker port elrar-state-gateway must show 9999/udp"), note("engines")}},
		{"another port", func(f *Facts) { silent(f); f.NoPorts = 15 },
			[]want{problem("arrival", "1. the engines send to another port than 9999"), note("arrival", "15 datagrams", "ports that nobody has"), note("engines")}},
		{"nothing any more", func(f *Facts) {
			reject(f, "json", 4)
			f.Gateway.Before = f.Gateway.After
		}, []want{problem("arrival", "nothing arrived in the last 3s; 13000 valid datagrams did before, and these were rejected: empty 3, json 4")}},
		{"a stale translation", func(f *Facts) { f.Targets = []netip.Addr{own, loopback} },
			[]want{note("arrival", "192.0.2.7, 127.0.0.1 at the same time", "conntrack -D -p udp --dport 9999")}},
		{"NaN only", func(f *Facts) {
			f.Gateway.After = f.Gateway.Before
			reject(f, "json", 15)
		}, []want{problem("arrival", "everything that arrived in the last 3s was invalid: json 15", "NaN", "datagram rejected")}},
		{"some are invalid", func(f *Facts) { reject(f, "type", 7) }, []want{note("arrival", "type 7", "10.0")}},
		{"a full table", func(f *Facts) { reject(f, "engine_limit", 7) }, []want{problem("arrival", "engine_limit 7", "MAX_ENGINES")}},
		{"broadcasts in unicast mode", func(f *Facts) { f.Gateway.After.Applied -= 1500; f.Gateway.After.Duplicate += 1500 },
			[]want{problem("arrival", "1500 of 3000 states were duplicates", "NETWORK_MODE=broadcast", "2 sockets")}},
		{"unicast in broadcast mode", func(f *Facts) {
			f.Settings.NetworkMode, f.Gateway.After.NetworkMode = config.Broadcast, "broadcast"
		}, []want{note("arrival", "NETWORK_MODE=unicast")}},
		{"broadcast on a bridge", func(f *Facts) {
			silent(f)
			f.Place, f.Settings.NetworkMode = inContainer(), config.Broadcast
			f.Gateway.Before.NetworkMode, f.Gateway.After.NetworkMode = "broadcast", "broadcast"
			f.Probes[1].Counted = 1
		}, []want{problem("network", "broadcast behind a bridge", "--network host"), problem("arrival", "broadcasts do not cross the bridge"), note("engines")}},

		{"some engines are silent", func(f *Facts) {
			f.Gateway.Engines = append(f.Gateway.Engines, Engine{EngineID: "c", Status: "stale", AgeMs: 5000}, Engine{EngineID: "d", Status: "stale", AgeMs: 9000})
		}, []want{note("engines", "4 engines: 1 fresh, 1 idle, 2 stale; silent: d for 9s, c for 5s")}},
		{"all are silent", func(f *Facts) {
			f.Gateway.Engines = []Engine{{EngineID: "c", Status: "stale", AgeMs: 5000}}
		}, []want{problem("engines", "1 engine: 1 stale")}},
		{"skewed clocks", func(f *Facts) { f.Gateway.Engines[0].ClockSkewMs, f.Gateway.Engines[1].ClockSkewMs = -90_000, 1000 },
			[]want{note("engines", "a by -1m30s", "NTP")}},
		{"a conflict", func(f *Facts) { f.Gateway.Engines[1].Conflict = true }, []want{problem("engines", "use one engine_id: b")}},

		{"no log", func(f *Facts) { f.Settings.EnableLog, f.Gateway.After.LogEnabled = false, false }, []want{note("log", "off")}},
		{"a log in the container's layer", func(f *Facts) { f.Place.LogLayer = "/data" },
			[]want{problem("log", "container's own layer", "-v /tmp/elrar:/data")}},
		{"a full disk", func(f *Facts) { f.Log.Free = 1 << 20; f.Gateway.After.LogTrouble = "little space" },
			[]want{problem("log", "little space"), problem("log", "1 MiB are free", "256 MiB")}},
		{"a mounted file", func(f *Facts) { f.Log.Mount = true }, []want{problem("log", "itself a mount", "-v /tmp/elrar:/data")}},
		{"another file", func(f *Facts) { f.Log.Open, f.Log.OpenElse = false, []string{"/data/engine_states.jsonl.1"} },
			[]want{problem("log", "does not have /data/engine_states.jsonl open; it writes /data/engine_states.jsonl.1")}},
		{"a file that does not grow", func(f *Facts) { f.Log.Known, f.Log.Size[1] = false, f.Log.Size[0] },
			[]want{problem("log", "wrote 3000 lines while /data/engine_states.jsonl did not change")}},
		{"a file that nobody may write", func(f *Facts) { noGateway(f); f.Log.Error = "its folder: user 1000 may not write it" },
			[]want{problem("gateway"), note("sockets"), problem("log", "user 1000 may not write")}},
		{"a file that another gateway writes", func(f *Facts) { noGateway(f); f.Log.Exists, f.Log.Holder = true, 7 },
			[]want{problem("gateway"), note("sockets"), problem("log", "written by process 7")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			facts := healthy(t)
			test.change(&facts)
			got := Examine(facts)
			rest := slices.DeleteFunc(slices.Clone(got), func(f Finding) bool { return f.Level == OK })
			for _, w := range test.want {
				matches := find(rest, w.level, w.about, w.words...)
				if len(matches) == 0 {
					t.Errorf("no %s about %s with %q", w.level, w.about, w.words)
					continue
				}
				i := slices.Index(rest, matches[0])
				rest = slices.Delete(rest, i, i+1)
			}
			for _, f := range rest {
				t.Errorf("besides: %+v", f)
			}
			for _, f := range got {
				if strings.Contains(f.Saw, "\n") || f.Level == Problem && f.Do == "" {
					t.Errorf("%+v", f)
				}
			}
			if Problems(got) != slices.ContainsFunc(test.want, func(w want) bool { return w.level == Problem }) {
				t.Errorf("Problems is %v", Problems(got))
			}
		})
	}
}

// What listens where a gateway answered is it, also as a container's first process; an init that holds the socket is not.
func TestIdentify(t *testing.T) {
	for _, test := range []struct {
		process Process
		is      bool
	}{
		{Process{PID: 7, Command: "elrar"}, true},
		{Process{PID: 1, Command: "state-gateway", Gateway: true}, true},
		{Process{PID: 1, Command: "systemd"}, false},
		{Process{PID: 7, Command: proxyCommand}, false},
	} {
		facts := healthy(t)
		facts.UDP[0].Owner = test.process
		facts.identify([]Process{test.process})
		if is := facts.Server.PID == test.process.PID && facts.Server.Gateway && facts.UDP[0].Owner.Gateway; is != test.is {
			t.Errorf("%v: %+v", test.process, facts.Server)
		}
	}
}
