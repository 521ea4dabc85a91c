package acceptance

import (
	"fmt"
	"strings"
	"time"
)

// The guide's update while engines send: what each gateway accepted is in the log.
func (r *row) update() {
	r.guide("directory")
	r.guide("host")
	r.awaitStart()
	sender := r.senders()[0]
	r.besides("docker run -d --name " + sender + " --network host " + r.site.image + " load --target 127.0.0.1:" + r.udp +
		" --engines 1000 --rate 2000 --for 3m")
	r.awaitStats("states", func(s stats) bool { return s.Applied > 4000 })
	before := r.stopAndRemove()
	r.guide("host")
	begin := time.Now()
	r.awaitStats("every engine", func(s stats) bool { return s.Engines == 1000 })
	known := time.Since(begin)
	r.besides("docker stop " + sender)
	report := r.besides("docker logs " + sender)
	after := r.stopAndRemove()

	lines := uint64(len(r.logLines()))
	if lines != before.count("logged")+after.count("logged") {
		r.Errorf("%d lines in the log, %v logged before, %v after", lines, before.count("logged"), after.count("logged"))
	}
	sent := r.figure(report, "sent")
	r.saw("Lines in the log: %d, as many as both gateways accepted. The engines sent %d: %d while no gateway was there.", lines, sent, sent-lines)
	r.saw("After the new gateway's start all 1,000 engines, which send every 500 ms, were known within %.1f s.", known.Seconds())
}

// Engines that look the gateway up once and keep their socket, through the kill and the return of its container.
func (r *row) keptSockets() {
	r.guide("directory")
	r.guide("host")
	host := "docker run -d --name " + r.senders()[0] + " --network host --entrypoint bash " + r.site.image
	r.besides(host + keptSocket("engine-host", "127.0.0.1", r.udp))
	r.awaitHeard("engine-host")
	r.killAndRemove()
	r.guide("host")
	r.awaitHeard("engine-host")
	r.saw("Host network: the engine is heard again by the new gateway, by the socket it has had.")
	r.docker("rm", "-f", r.senders()[0])
	r.killAndRemove()

	r.guide("custom")
	r.awaitStart()
	r.besides(host + keptSocket("engine-host", "127.0.0.1", r.udp))
	r.besides("docker run -d --name " + r.senders()[1] + " --add-host host.docker.internal:host-gateway --entrypoint bash " + r.site.image +
		keptSocket("engine-bridge", "host.docker.internal", r.udp))
	r.besides("docker run -d --name " + r.senders()[2] + " --network " + r.network + " --entrypoint bash " + r.site.image +
		keptSocket("engine-custom", r.container, r.udp))
	r.awaitHeard("engine-host", "engine-bridge", "engine-custom")

	// The new container gets another address, since another one takes the old.
	old := r.address(r.container)
	r.killAndRemove()
	r.besides("docker run -d --name " + r.second + " --network " + r.network + " --entrypoint sleep " + r.site.image + " infinity")
	r.guide("custom")
	r.awaitStart()
	if r.address(r.second) != old || r.address(r.container) == old {
		r.Fatalf("the gateway had %s; now it has %s, and the other container %s", old, r.address(r.container), r.address(r.second))
	}
	published := []string{"engine-host", "engine-bridge"}
	if !r.heard(10*time.Second, published...) {
		r.guide("forget-flows")
		r.awaitHeard(published...)
		r.saw("Published port: the engines are heard again once the kernel has forgotten their flows.")
	} else {
		r.saw("Published port: the engines are heard again, by the sockets they have had.")
		r.guide("forget-flows") // it does no harm
		r.awaitHeard(published...)
	}
	if _, held := r.engines()["engine-custom"]; held {
		r.Errorf("an engine that sends to %s is heard by a gateway at %s", old, r.address(r.container))
	}
	r.besides("docker restart -t 0 " + r.senders()[2])
	r.awaitHeard("engine-custom")
	r.saw("Custom network: the gateway's address is another one now, and the engine that had looked up the old one is heard again "+
		"when it is restarted (%s before, %s after).", old, r.address(r.container))
}

// killAndRemove takes the gateway away as a crash of its host would: no drain, no farewell.
func (r *row) killAndRemove() {
	r.Helper()
	r.besides("docker kill " + r.container + " && docker rm " + r.container)
}

// awaitHeard waits until all of these engines are fresh.
func (r *row) awaitHeard(engineIDs ...string) {
	r.Helper()
	r.awaitStart()
	if !r.heard(limit, engineIDs...) {
		r.Fatalf("not heard within %v: one of %v; heard are %v", limit, engineIDs, r.engines())
	}
}

// heard reports whether all of these engines are fresh within some time.
func (r *row) heard(within time.Duration, engineIDs ...string) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		fresh, engines := 0, r.engines()
		for _, id := range engineIDs {
			if engines[id].Fresh {
				fresh++
			}
		}
		if fresh == len(engineIDs) {
			return true
		}
	}
	return false
}

// keptSocket returns the arguments that make bash an engine: one look-up, one socket, a state every 200 ms for ever.
func keptSocket(engineID, host, port string) string {
	text, _, _ := strings.Cut(state(engineID), `"timestamp_ms":`)
	_, rest, _ := strings.Cut(state(engineID), `,"latency`)
	return fmt.Sprintf(` -c 'exec 3<>/dev/udp/%s/%s; while :; do printf "%%s\"timestamp_ms\":%%s%%s" '\''%s'\'' $(date +%%s%%3N) '\'',"latency%s'\'' >&3; sleep 0.2; done'`,
		host, port, text, rest)
}
