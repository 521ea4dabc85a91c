package acceptance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// site is where the guide is run: its own names, ports and folders where they are free on this machine, others where they
// are taken, so that nothing of the machine's is touched.
type site struct {
	container, second, network string
	image, minimal             string
	directory, backup          string
	udp, otherUDP, http        string // ports
	rules                      string // logrotate's

	arguments []string // of docker build: the base images, proxies and mirrors of this machine
	changes   []change // of the guide's commands
}

// change is a replacement in the text of the guide's commands.
type change struct {
	old, new string
	only     string // in commands that have this
	shown    string // instead of new
	why      string
}

// newSite looks for what is free.
func newSite(t *testing.T) *site {
	s := &site{
		container: pick("elrar-state-gateway", func(n string) bool { return exists("container", n) }),
		network:   pick("elrar-network", func(n string) bool { return exists("network", n) }),
		image:     "elrar/state-gateway:latest",
		minimal:   "elrar/state-gateway:minimal",
		directory: pick("/tmp/elrar", present),
		backup:    pick("/backup", present),
		udp:       pickPort(t, "9999", "udp"),
		otherUDP:  pickPort(t, "8888", "udp"),
		http:      pickPort(t, "8080", "tcp"),
		arguments: strings.Fields(os.Getenv("STATE_DOCKER_BUILD_ARGS")),
	}
	s.second = s.container + "-2"
	s.rules = t.TempDir() + "/logrotate"
	s.changes = append(s.changes,
		change{old: "logrotate --force /etc/logrotate.d/elrar-state-gateway", new: "logrotate --state " + s.rules + ".state --force " + s.rules,
			shown: "logrotate --state … --force …", why: "the machine's own rules stay as they are"})
	if exists("image", s.image) || exists("image", s.minimal) {
		s.image, s.minimal = "elrar/state-gateway-acceptance:latest", "elrar/state-gateway-acceptance:minimal"
	}
	taken := func(old, new string) {
		if old != new {
			s.changes = append(s.changes, change{old: old, new: new, why: "the guide's is in use on this machine"})
		}
	}
	repository, _, _ := strings.Cut(s.image, ":")
	taken("elrar-state-gateway", s.container)
	taken("elrar-network", s.network)
	taken("elrar/state-gateway", repository)
	taken("/tmp/elrar", s.directory)
	taken("/backup", s.backup)
	taken("9999", s.udp)
	taken("8888", s.otherUDP)
	if s.http != "8080" {
		taken("localhost:8080", "localhost:"+s.http)
		taken("127.0.0.1:8080", "127.0.0.1:"+s.http)
		taken("sport = :8080", "sport = :"+s.http)
		taken("--network host", "--network host -e VLLM_STATE_GATEWAY_HTTP_ADDRESS=:"+s.http)
	}
	if len(s.arguments) > 0 {
		given, shown := "docker build", "docker build"
		for _, argument := range s.arguments {
			name, _, _ := strings.Cut(argument, "=")
			given += " --build-arg '" + argument + "'"
			shown += " --build-arg " + name + "=…"
		}
		s.changes = append(s.changes, change{old: "docker build", new: given, shown: shown,
			why: "no base image can be pulled here: .ci/base-images made stand-ins of Debian's packages and this machine's Go"})
	}
	if os.Getenv("STATE_SOAK") == "" {
		s.changes = append(s.changes,
			change{old: "--for 2m", new: "--for 6s", why: "the whole length is for STATE_SOAK"},
			change{old: "--for 10s", new: "--for 4s", only: "--rate max", why: "the whole length is for STATE_SOAK"})
	}
	return s
}

// adapt returns a command of the guide as it is run here, and as the transcript shows it.
func (s *site) adapt(text string) (run, shown string) {
	run, shown = text, text
	for _, c := range s.changes {
		if c.only != "" && !strings.Contains(text, c.only) {
			continue
		}
		display := c.new
		if c.shown != "" {
			display = c.shown
		}
		run, shown = strings.ReplaceAll(run, c.old, c.new), strings.ReplaceAll(shown, c.old, display)
	}
	return run, shown
}

// pick returns the name, or one like it if it is taken.
func pick(name string, taken func(string) bool) string {
	for i, candidate := 0, name; ; i++ {
		if !taken(candidate) {
			return candidate
		}
		candidate = fmt.Sprintf("%s-acceptance%d", name, i)
	}
}

// pickPort returns the port, or a free one if it is taken.
func pickPort(t *testing.T, port, network string) string {
	t.Helper()
	for {
		var c interface{ Close() error }
		var address net.Addr
		var err error
		if network == "udp" {
			var conn net.PacketConn
			if conn, err = net.ListenPacket(network, ":"+port); err == nil {
				c, address = conn, conn.LocalAddr()
			}
		} else {
			var listener net.Listener
			if listener, err = net.Listen(network, ":"+port); err == nil {
				c, address = listener, listener.Addr()
			}
		}
		switch {
		case err == nil:
			c.Close()
			_, port, _ = net.SplitHostPort(address.String())
			return port
		case port == "0":
			t.Fatal(err)
		}
		port = "0"
	}
}

func exists(kind, name string) bool {
	return exec.Command("docker", kind, "inspect", name).Run() == nil
}

func present(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
