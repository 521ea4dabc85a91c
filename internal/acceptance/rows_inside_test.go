package acceptance

import (
	"context"
	"strings"
)

func (r *row) inside() {
	r.guide("directory")
	r.guide("bridge")
	r.awaitReady()
	for name, want := range map[string]string{
		"netstat":      ":" + r.udp,
		"port":         r.udp + "/udp -> 0.0.0.0:" + r.udp,
		"env":          "VLLM_STATE_GATEWAY_BIND_ADDRESS=0.0.0.0",
		"ping":         "1 received",
		"check-config": "VLLM_STATE_GATEWAY_STALE_THRESHOLD = 2000",
		"healthcheck":  "",
	} {
		if out := r.guide(name); !strings.Contains(out, want) {
			r.Errorf("%s: no %q in\n%s", name, want, out)
		}
	}

	r.besides("docker run -d --name " + r.senders()[0] + " --network host " + r.site.image + " load --target 127.0.0.1:" + r.udp + " --engines 10 --rate 50 --for 1m")
	r.awaitStats("states", func(s stats) bool { return s.Applied > 0 })
	if out := r.guide("doctor"); !strings.Contains(out, "10 fresh") || strings.Contains(out, "problem") {
		r.Errorf("doctor: %s", out)
	}
	r.docker("rm", "-f", r.senders()[0])

	// -it wants a terminal: script(1) makes one, and types what the guide says to type.
	shell, shown := r.block("shell")
	typed, _ := r.block("inside")
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	got := bash(ctx, "script -qec '"+strings.TrimSpace(shell)+"' /dev/null", typed+"exit\n")
	r.section.command(shown, got.output)
	for _, want := range []string{r.address(r.container), "/usr/local/bin/state-gateway"} {
		if !strings.Contains(got.output, want) {
			r.Errorf("no %q in the shell: exit code %d\n%s", want, got.code, got.output)
		}
	}
	r.stopAndRemove()
}
