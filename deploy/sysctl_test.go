package deploy

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/elrar/state-gateway/internal/needs"
)

// The settings are the kernel's, raise what they are to raise, and grant the gateway the buffer that it asks for.
func TestSysctl(t *testing.T) {
	values := map[string]int{}
	for line := range strings.Lines(read(t, "sysctl/60-elrar-state-gateway.conf")) {
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(strings.TrimSpace(line), " = ")
		n, err := strconv.Atoi(value)
		if !found || err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		values[name] = n
	}
	check := exec.Command(binary, "check-config")
	check.Env = []string{}
	if got := run(t, check); !strings.Contains(got.stdout, "VLLM_STATE_GATEWAY_RECEIVE_BUFFER = 8 MiB ") || values["net.core.rmem_max"] != 8<<20 {
		t.Errorf("%+v, %v", got, values)
	}
	usual := map[string]int{"net.core.rmem_max": 212_992, "net.core.netdev_max_backlog": 1000}
	for name, value := range values {
		if value <= usual[name] || usual[name] == 0 {
			t.Errorf("%s = %d, and %d is usual", name, value, usual[name])
		}
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if _, err := os.Stat(path); err != nil {
			needs.Skip(t, path+" is not here (no Linux, or a container)")
		}
	}
}
