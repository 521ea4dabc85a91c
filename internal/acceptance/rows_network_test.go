package acceptance

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

func (r *row) hostNetwork() {
	r.guide("directory")
	r.guide("host")
	r.await("healthy", func() bool {
		return r.docker("container", "inspect", "-f", "{{.State.Health.Status}}", r.container) == "healthy"
	})
	if out := r.guide("ps"); !strings.Contains(out, r.container) || !strings.Contains(out, "(healthy)") {
		r.Errorf("docker ps: %s", out)
	}
	r.guide("logs")
	started := r.said("state gateway started")
	if len(started) != 1 || !strings.HasSuffix(started[0]["udp"].(string), ":"+r.udp) || started[0]["state_log"] != "/data/engine_states.jsonl" {
		r.Errorf("the start line: %v", started)
	}

	r.guide("probe")
	probes := r.awaitStats("nc's probe", func(s stats) bool { return s.Invalid > 0 })
	r.guideUntil("send", "the guide's state", func() bool {
		_, held := r.engines()["test"]
		return held
	})
	if e := r.engines()["test"]; e.TimestampMs != 1234567890 || !e.Fresh {
		r.Errorf("engine test: %+v", e)
	}
	r.awaitStats("its line", func(s stats) bool { return s.Logged == 1 })
	sent := r.commands["send"]
	sent = sent[strings.Index(sent, "{") : strings.LastIndex(sent, "}")+1]
	var line struct {
		Timestamp float64
		State     json.RawMessage
	}
	if err := json.Unmarshal([]byte(r.guide("tail")), &line); err != nil || string(line.State) != sent {
		r.Errorf("the log's line: %v %s", err, line.State)
	}
	if out := r.guide("ask"); !strings.Contains(out, `"test"`) {
		r.Errorf("/v1/engines: %s", out)
	}
	r.saw("Its line in the log has the eight fields as they were sent; its timestamp of 1970 makes it neither stale nor out of order.")

	r.guideUntil("send-bad", "the bad datagram", func() bool {
		return r.awaitStart().Rejected["missing_field"] == 1
	})
	if out := r.guide("stats"); !strings.Contains(out, "missing_field") {
		r.Errorf("/stats: %s", out)
	}
	s := r.awaitStart()
	if s.Engines != 1 || s.Applied != 1 || s.Invalid != probes.Invalid+1 || len(r.logLines()) != 1 {
		r.Errorf("the bad datagram changed something else: %+v", s)
	}
	if said := r.said("missing_field"); len(said) != 1 || said[0]["level"] != "WARN" || said[0]["begins"] != "{\"test\":\"data\"}\n" {
		r.Errorf("messages about it: %v", said)
	}
	r.saw("The bad datagram is counted as missing_field, and shown once in the messages with its source and its text.")

	r.overIPv6()
	r.guide("load-host")
	r.saw("An engine's container on the host network: nothing lost between its 100 engines and the gateway.")
	r.loadOverBridge()
	if out := r.guide("port"); out != "" {
		r.Errorf("published on the host network: %s", out)
	}
	r.stopAndRemove()
}

// loadOverBridge sends from a container on the bridge to the host, or to its published port.
func (r *row) loadOverBridge() {
	r.Helper()
	before := r.awaitStart()
	sent := r.figure(r.guide("load-bridge"), "sent")
	s := r.awaitStats("all that was sent from the bridge", func(s stats) bool { return s.Received+s.KernelDropped >= before.Received+sent })
	if s.Received != before.Received+sent {
		r.Errorf("received %d of %d", s.Received-before.Received, sent)
	}
	r.saw("An engine's container on the bridge, to the host's address: received %d of %d.", s.Received-before.Received, sent)
}

// overIPv6 sends to ::1, which is what "localhost" means on many machines, if this one has it.
func (r *row) overIPv6() {
	r.Helper()
	conn, err := net.Dial("udp", "[::1]:"+r.udp)
	if err != nil {
		r.saw("This machine has no IPv6: nothing sent to ::1.")
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state("by IPv6"))); err != nil {
		r.Fatal(err)
	}
	r.await("what was sent to ::1", func() bool {
		_, held := r.engines()["by IPv6"]
		return held
	})
	r.saw("What is sent to ::1 arrives too, from %s.", r.engines()["by IPv6"].SourceAddr)
}

// stopAndRemove stops the gateway as the guide does, and checks how it ended.
func (r *row) stopAndRemove() message {
	r.Helper()
	begin := time.Now()
	r.guide("stop")
	took := time.Since(begin)
	figures := r.finalFigures()
	if code := r.docker("container", "inspect", "-f", "{{.State.ExitCode}}", r.container); code != "0" {
		r.Errorf("exit code %s", code) // 137 is Docker's kill after 10 s
	}
	r.guide("remove")
	r.saw("Stopped within %.1f s with exit code 0: received %d, applied %d, logged %d.", took.Seconds(),
		figures.count("received"), figures.count("applied"), figures.count("logged"))
	return figures
}

// logLine is a line of the state log.
type logLine struct {
	Timestamp float64
	State     struct {
		EngineID string `json:"engine_id"`
	}
}

// logLines returns the lines of the log, each of which must be whole.
func (r *row) logLines() []logLine {
	r.Helper()
	text, err := os.ReadFile(r.directory + "/engine_states.jsonl")
	if err != nil {
		r.Fatal(err)
	}
	return r.parse("the log", text, false)
}

// parse returns the lines of a state log. With torn the last one may be incomplete.
func (r *row) parse(name string, text []byte, torn bool) (lines []logLine) {
	r.Helper()
	for line := range strings.Lines(string(text)) {
		if torn && !strings.HasSuffix(line, "\n") {
			break
		}
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || !strings.HasSuffix(line, "}}\n") || l.State.EngineID == "" {
			r.Fatalf("%s, line %d: %v: %q", name, len(lines)+1, err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

func (r *row) bridgeNetwork() {
	r.guide("directory")
	r.guide("bridge")
	r.awaitStart()
	r.guide("probe")
	r.awaitStats("nc's probe", func(s stats) bool { return s.Invalid > 0 })
	r.guideUntil("send", "the guide's state", func() bool {
		_, held := r.engines()["test"]
		return held
	})
	r.saw("The guide's state came from %s: the source address of a published port identifies nobody.", r.engines()["test"].SourceAddr)
	if out := r.guide("ask-container"); !strings.Contains(out, `"test"`) {
		r.Errorf("/v1/engine-states: %s", out)
	}
	r.loadOverBridge()
	address := r.address(r.container)
	r.besides("docker run --rm " + r.site.image + " load --target " + address + ":" + r.udp +
		" --engines 100 --rate 500 --for 2s --gateway http://" + address + ":8080")
	r.saw("An engine's container beside it on the bridge, to the gateway's own address: nothing lost.")
	before := r.awaitStart()
	sent := r.figure(r.besides("docker run --rm --network host "+r.site.image+" load --target 127.0.0.1:"+r.udp+
		" --engines 100 --rate 500 --for 2s"), "sent")
	r.awaitStats("all that was sent from the host", func(s stats) bool { return s.Received == before.Received+sent })
	r.saw("An engine on the host, to the published port: received %d of %d.", sent, sent)
	r.stopAndRemove()
}

func (r *row) customNetwork() {
	r.guide("directory")
	r.guide("network")
	r.guide("custom")
	r.awaitStart()
	r.guideUntil("send", "the guide's state", func() bool {
		_, held := r.engines()["test"]
		return held
	})
	r.overIPv6()
	r.guide("load-custom")
	r.saw("An engine's container on the custom network, to the gateway's name: nothing lost.")
	r.loadOverBridge()
	r.stopAndRemove()
}

func (r *row) ports() {
	r.guide("directory")
	r.guide("host")
	r.awaitStart()
	out := r.guideEnds("port-taken", 69)
	if !strings.Contains(out, "VLLM_STATE_GATEWAY_UDP_PORT="+r.udp) || !strings.Contains(out, "has this port") {
		r.Errorf("a port that is taken: %s", out)
	}
	r.guideUntil("send", "the guide's state at the first gateway", func() bool {
		_, held := r.engines()["test"]
		return held
	})
	r.saw("The second gateway ends with exit code 69 and names the port; the first one goes on.")
	r.stopAndRemove()

	r.guide("other-port")
	r.awaitStart()
	conn, err := net.Dial("udp", "127.0.0.1:"+r.otherUDP)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state("by another port"))); err != nil {
		r.Fatal(err)
	}
	r.awaitStats("a state by the other port", func(s stats) bool { return s.Applied == 1 })
	r.stopAndRemove()

	r.guide("published-ports")
	r.awaitStart()
	if _, err := conn.Write([]byte(state("by another port"))); err != nil {
		r.Fatal(err)
	}
	r.await("a state by the published port, asked by the published port", func() bool {
		out := bash(r.Context(), "curl -s http://127.0.0.1:"+r.http+"/v1/engine-states", "").output
		return strings.Contains(out, "by another port")
	})
	r.saw("A state sent to UDP port %s is there at TCP port %s of the host.", r.otherUDP, r.http)
	r.stopAndRemove()
}

// The rules are made in a network namespace of its own, with a copy of ufw's files: the machine's stay as they are.
func (r *row) firewall() {
	files := r.TempDir()
	command, shown := r.block("ufw")
	r.shell("unshare --net --mount bash -ec 'cp -a /etc/ufw/. "+files+" && mount --bind "+files+" /etc/ufw && "+strings.TrimSpace(command)+" && ufw show added'",
		strings.TrimSpace(shown)+" && ufw show added", 0)
	command, shown = r.block("iptables")
	out := r.shell("unshare --net bash -ec '"+strings.TrimSpace(command)+" && iptables -S INPUT'", strings.TrimSpace(shown)+" && iptables -S INPUT", 0)
	if !strings.Contains(out, "-A INPUT -p udp -m udp --dport "+r.udp+" -j ACCEPT") {
		r.Errorf("the rules: %s", out)
	}
}

func (r *row) broadcast() {
	r.guide("directory")
	r.guide("broadcast")
	r.awaitStart()
	subnet := netip.MustParsePrefix(r.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", r.network))
	out := r.besides("docker run --rm --network " + r.network + " " + r.site.image + " load --target " + lastAddress(subnet).String() + ":" + r.udp +
		" --engines 10 --rate 50 --for 2s")
	sent := r.figure(out, "sent")
	s := r.awaitStats("the broadcasts", func(s stats) bool { return s.Received >= sent })
	if s.Broadcast != sent || s.Applied != sent {
		r.Errorf("sent %d: %+v", sent, s)
	}
	if warned := r.warned("broadcast"); warned != "" {
		r.Errorf("a warning on the host network: %s", warned)
	}
	r.saw("On the host network the gateway received %d of %d broadcasts, each once.", s.Broadcast, sent)
	r.stopAndRemove()

	onBridge, _ := r.block("broadcast")
	onBridge = strings.Replace(onBridge, "--network host", "--network bridge", 1)
	r.shell(onBridge, onBridge, 0)
	r.awaitStart()
	if warned := r.warned("broadcast"); !strings.Contains(warned, "--network host") {
		r.Errorf("the warning on a bridge: %s", warned)
	}
	r.besides("docker logs " + r.container)
	r.saw("On a bridge it warns at its start.")
	r.stopAndRemove()
}

// lastAddress returns the broadcast address of an IPv4 network.
func lastAddress(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}
