package acceptance

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const megabyte = 1_000_000

func (r *row) image() {
	r.guide("check-docker")
	if out := r.guide("check-ports"); out != "" {
		r.Fatalf("the ports are taken:\n%s", out)
	}
	r.nameStages("build")
	r.guide("build")
	r.guide("build-minimal")
	r.guide("image")
	r.labelled(r.site.image, "devel", "unknown")
	r.labelled(r.minimal, "devel", "unknown")

	size := func(image string) int {
		n, err := strconv.Atoi(r.docker("image", "inspect", "-f", "{{.Size}}", image))
		if err != nil {
			r.Fatal(err)
		}
		return n
	}
	if n := size(r.minimal); n >= 40*megabyte {
		r.Errorf("minimal has %d bytes", n)
	}
	r.saw("Sizes: the default image %.1f MB, minimal %.1f MB.", float64(size(r.site.image))/megabyte, float64(size(r.minimal))/megabyte)

	// Both images, and a build of this machine's Go in another folder, have the same binary.
	binary := r.binary(r.site.image)
	if other := r.binary(r.minimal); other != binary {
		r.Errorf("the binary's hash is %s in the default image and %s in minimal", binary, other)
	}
	if strings.Contains(r.docker("run", "--rm", r.site.image, "version"), r.goVersion()) {
		if here := r.buildHere("devel", "unknown"); here != binary {
			r.Errorf("the binary's hash is %s in the image and %s built here", binary, here)
		}
		r.saw("The binary in both images and one built from the same sources outside Docker are the same: sha256 %s.", binary)
	}
	if soak() {
		again := r.stage("build", "again")
		r.quiet(strings.Replace(r.stageCommand("build", "build", again), "docker build", "docker build --no-cache", 1))
		out := r.docker("run", "--rm", "--entrypoint", "sha256sum", again, "/out/bin/state-gateway")
		if hash, _, _ := strings.Cut(out, " "); hash != binary {
			r.Errorf("a second build's hash is %s, the first one's %s", hash, binary)
		}
		r.saw("So is that of a second build with --no-cache.")
		r.stamped()
	} else {
		r.ran["build-stamped"] = true // it compiles everything again, and is for STATE_SOAK
	}

	r.guide("directory")
	if out := strings.TrimSpace(r.quiet("stat -c '%U %a' " + r.directory)); out != "root 755" {
		r.Errorf("the directory is %s", out)
	}
}

// stamped builds the image with a version and a revision, and then as it was.
func (r *row) stamped() {
	r.nameStages("build-stamped")
	r.guide("build-stamped")
	version := strings.TrimSpace(r.quiet("git describe --tags --always"))
	revision := strings.TrimSpace(r.quiet("git rev-parse HEAD"))
	out := r.besides("docker run --rm " + r.site.image + " version")
	if !strings.Contains(out, version) || !strings.Contains(out, revision) {
		r.Errorf("version %s, revision %s: %s", version, revision, out)
	}
	r.labelled(r.site.image, version, revision)
	r.quiet("docker image tag " + r.site.image + " " + r.stage("build-stamped", "default"))
	command, _ := r.block("build")
	r.quiet(command)
}

// nameStages builds the stages of the image that a block of the guide builds, each with a name by which it can be removed:
// the builder before BuildKit leaves them behind otherwise.
func (r *row) nameStages(block string) {
	r.Helper()
	for _, target := range []string{"build", "minimal"} {
		r.quiet(r.stageCommand(block, target, r.stage(block, target)))
	}
}

// stage returns a name for a stage, which is removed at the end.
func (r *row) stage(block, target string) string {
	name := "state-gateway-acceptance/" + target + ":" + block
	r.stages = append(r.stages, name)
	return name
}

// stageCommand returns the command of a block that builds the image, for one of its stages.
func (r *row) stageCommand(block, target, name string) string {
	r.Helper()
	command, _ := r.block(block)
	command = strings.Replace(command, "docker build", "docker build --force-rm", 1) // a build that fails leaves nothing
	return strings.Replace(command, "-t "+r.site.image, "--target "+target+" -t "+name, 1)
}

// labelled checks what an image says of itself.
func (r *row) labelled(image, version, revision string) {
	r.Helper()
	var c struct {
		Labels      map[string]string
		Entrypoint  []string
		Cmd         []string
		StopSignal  string
		User        string
		Healthcheck struct{ Test []string }
	}
	if err := json.Unmarshal([]byte(r.docker("image", "inspect", "-f", "{{json .Config}}", image)), &c); err != nil {
		r.Fatal(err)
	}
	user := ""
	if image == r.minimal {
		user = "65532:65532"
	}
	const program = "/usr/local/bin/state-gateway"
	const label = "org.opencontainers.image."
	if fmt.Sprint(c.Entrypoint, c.Cmd, c.StopSignal, c.User, c.Healthcheck.Test) !=
		fmt.Sprint([]string{program}, []string{}, "SIGTERM", user, []string{"CMD", program, "healthcheck"}) ||
		c.Labels[label+"version"] != version || c.Labels[label+"revision"] != revision || c.Labels[label+"title"] == "" {
		r.Errorf("%s: %+v", image, c)
	}
}

// binary returns the SHA-256 of the program in an image.
func (r *row) binary(image string) string {
	r.Helper()
	id := r.docker("create", image)
	defer exec.Command("docker", "rm", id).Run()
	file := filepath.Join(r.TempDir(), "state-gateway")
	r.docker("cp", id+":/usr/local/bin/state-gateway", file)
	return r.hash(file)
}

// buildHere returns the SHA-256 of the program built by this machine's Go as the Dockerfile does it.
func (r *row) buildHere(version, revision string) string {
	r.Helper()
	file := filepath.Join(r.TempDir(), "state-gateway")
	cmd := exec.CommandContext(r.Context(), "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+version+" -X main.revision="+revision, "-o", file, "./cmd/state-gateway")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("%v: %s", err, out)
	}
	return r.hash(file)
}

// goVersion returns what "go build" here builds with.
func (r *row) goVersion() string {
	out, err := exec.CommandContext(r.Context(), "go", "env", "GOVERSION").Output()
	if err != nil {
		r.Fatal(err)
	}
	return strings.TrimSpace(string(out)) + ","
}

func (r *row) hash(file string) string {
	r.Helper()
	f, err := os.Open(file)
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		r.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func soak() bool { return os.Getenv("STATE_SOAK") != "" }

// A concrete address that is not, or will not stay, the container's.
func (r *row) bindAddress() {
	out := r.guideEnds("foreign-address", 69)
	if !strings.Contains(out, "VLLM_STATE_GATEWAY_BIND_ADDRESS=10.1.2.3") || !strings.Contains(out, "0.0.0.0 means every interface") {
		r.Errorf("it does not say what to do: %s", out)
	}
	r.saw("The gateway ends with exit code 69, names the setting and says that 0.0.0.0 means every interface.")

	r.besides("docker run -d --name " + r.container + " --entrypoint bash " + r.site.image +
		" -c 'VLLM_STATE_GATEWAY_BIND_ADDRESS=$(hostname -i) exec state-gateway'")
	r.awaitStart()
	if warned := r.warned("VLLM_STATE_GATEWAY_BIND_ADDRESS"); !strings.Contains(warned, "0.0.0.0") {
		r.Errorf("the container's own address: %s", r.messages())
	}
	r.besides("docker logs " + r.container)
	r.saw("With the container's own address it starts, and warns.")
}
