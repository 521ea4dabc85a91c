package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/internal/needs"
)

// variants are the files that are started.
var variants = []string{"compose.yaml", "compose.host.yaml"}

// compose returns a command of Docker Compose, of whichever generation is installed.
func compose(t *testing.T, file string, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	program := []string{"docker-compose"}
	if _, err := exec.LookPath(program[0]); err != nil {
		program = []string{needs.Command(t, "docker"), "compose"}
		if err := exec.Command(program[0], "compose", "version").Run(); err != nil {
			needs.Skip(t, "Docker Compose is not installed")
		}
	}
	args = slices.Concat(program[1:], []string{"--file", here(t, file)}, args)
	cmd := exec.Command(program[0], args...)
	cmd.Env = append(environ, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "DOCKER_HOST="+os.Getenv("DOCKER_HOST"))
	return cmd
}

// Docker Compose reads both variants, without a word, and takes the images' names from variables.
func TestComposeConfig(t *testing.T) {
	needs.FullCheck(t, needs.Verdict)
	images := []string{"GATEWAY_IMAGE=mirror/gateway:1", "PROMETHEUS_IMAGE=mirror/prometheus:2", "GRAFANA_IMAGE=mirror/grafana:3",
		"GO_IMAGE=mirror/go:4", "RUNTIME_IMAGE=mirror/debian:5"}
	for _, file := range variants {
		got := run(t, compose(t, file, nil, "config"))
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%s: %+v", file, got)
		}
		for _, want := range []string{"elrar/state-gateway:latest", "prom/prometheus:", "grafana/grafana:", "golang:1.26-bookworm"} {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%s lacks %s:\n%s", file, want, got.stdout)
			}
		}
		// HTTP is published on this host alone, unless HTTP_ADDRESS says otherwise.
		open := run(t, compose(t, file, []string{"HTTP_ADDRESS=192.0.2.1"}, "config"))
		if closed := strings.Count(got.stdout, "127.0.0.1") - strings.Count(open.stdout, "127.0.0.1"); file == "compose.yaml" &&
			(closed != 1 || strings.Count(open.stdout, "192.0.2.1") != 1) {
			t.Errorf("%s publishes HTTP on\n%s\nand with HTTP_ADDRESS=192.0.2.1 on\n%s", file, got.stdout, open.stdout)
		}
		if host := strings.Count(got.stdout, "network_mode: host"); host != 0 && file == "compose.yaml" || host != 4 && file != "compose.yaml" {
			t.Errorf("%s: %d services are on the host's network", file, host)
		}
		got = run(t, compose(t, file, images, "config"))
		for _, image := range images {
			if _, name, _ := strings.Cut(image, "="); !strings.Contains(got.stdout, name) {
				t.Errorf("%s does not mind %s", file, image)
			}
		}
	}
}

// What compose.services.yaml says of the image's build is what the Dockerfile says.
func TestComposeBuildsAsTheDockerfileDoes(t *testing.T) {
	dockerfile := read(t, "../Dockerfile")
	args := regexp.MustCompile(`(?m)^        ([A-Z_]+): \$\{([A-Z_]+):-(.*)\}$`).FindAllStringSubmatch(read(t, "compose.services.yaml"), -1)
	if len(args) != 5 {
		t.Fatalf("%q", args)
	}
	for _, a := range args {
		argument := "ARG " + a[1] + "=" + a[3] + "\n"
		if a[3] == "" {
			argument = a[1]
		}
		if a[1] != a[2] || !strings.Contains(dockerfile, argument) {
			t.Errorf("%q: the Dockerfile has no %q", a[0], argument)
		}
	}
}

// freePort returns a port of a network that nobody has now.
func freePort(t *testing.T, network string) string {
	t.Helper()
	var address net.Addr
	if network == "udp" {
		c, err := net.ListenPacket(network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		address = c.LocalAddr()
	} else {
		l, err := net.Listen(network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		address = l.Addr()
	}
	_, port, _ := net.SplitHostPort(address.String())
	return port
}

// Both variants run: the demo engines' states arrive, and so does one from this host. The image has the binary alone, so
// that nothing must be downloaded or built; Prometheus and Grafana are left out for the same reason.
func TestComposeUp(t *testing.T) {
	needs.FullCheck(t, "it runs containers on this machine's Docker Engine, for which it makes an image")
	docker := needs.Command(t, "docker")
	if runtime.GOOS != "linux" {
		needs.Skip(t, "the gateway's program must be Linux' for a container, and this host's for its network")
	}
	if out, err := exec.Command(docker, "info").CombinedOutput(); err != nil {
		t.Skipf("no Docker engine, which .ci/run cannot provide either: %v: %s", err, out)
	}
	image := fmt.Sprintf("elrar/compose-test:%d", os.Getpid())
	pack := exec.Command("sh", "-c", `tar -C "$(dirname "$1")" -c state-gateway | "$0" import --change 'ENTRYPOINT ["/state-gateway"]' - "$2"`,
		docker, binary, image)
	if got := run(t, pack); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(docker, "rmi", image).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	for i, file := range variants {
		udp, http := freePort(t, "udp"), freePort(t, "tcp")
		environ := []string{"GATEWAY_IMAGE=" + image, "UDP_PORT=" + udp, "HTTP_PORT=" + http,
			fmt.Sprintf("COMPOSE_PROJECT_NAME=elrar-compose-test-%d-%d", os.Getpid(), i)}
		t.Cleanup(func() {
			if got := run(t, compose(t, file, environ, "down", "--volumes", "--timeout", "10")); got.code != 0 {
				t.Errorf("%s: %+v", file, got)
			}
		})
		if got := run(t, compose(t, file, environ, "up", "--detach", "--no-build", "gateway", "engines")); got.code != 0 {
			t.Fatalf("%s: %+v", file, got)
		}
		gateway := running{udp: "127.0.0.1:" + udp, url: "http://127.0.0.1:" + http}
		await(t, file+": 8 engines, and one from here", func() (bool, string) {
			gateway.send(t, "test")
			s, err := stats(gateway.url)
			return err == nil && s.Applied > 100 && s.TotalEngines == 9, fmt.Sprint(s, err)
		})
		if got := run(t, compose(t, file, environ, "logs")); !strings.Contains(got.stdout, "state gateway started") || strings.Contains(got.stdout, "ERROR") {
			t.Errorf("%s: %+v", file, got)
		}
	}
}
