package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestPassed(t *testing.T) {
	sockets := func(texts ...string) (all []netip.AddrPort) {
		for _, text := range texts {
			all = append(all, netip.MustParseAddrPort(text))
		}
		return all
	}
	for _, test := range []struct {
		name     string
		given    map[string]string
		udp      []netip.AddrPort
		http     netip.AddrPort
		want     []string // settings that differ from what is given, as check-config would write them
		warnings []string // the beginning of each
	}{
		{name: "none", given: map[string]string{"WORKERS": "3"}},
		{name: "as the defaults are", udp: sockets("[::]:9999"), http: netip.MustParseAddrPort("[::]:8080"),
			want: []string{"WORKERS=1", "HTTP_ADDRESS=[::]:8080"}},
		{name: "others than the defaults", udp: sockets("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"),
			want: []string{"UDP_PORT=1", "BIND_ADDRESS=127.0.0.1", "WORKERS=3"}},
		{name: "as given",
			given: map[string]string{"UDP_PORT": "1", "BIND_ADDRESS": "192.0.2.1", "WORKERS": "2", "HTTP_ADDRESS": ":80"},
			udp:   sockets("192.0.2.1:1", "192.0.2.1:1"), http: netip.MustParseAddrPort("0.0.0.0:80"),
			want: []string{"HTTP_ADDRESS=0.0.0.0:80"}},
		{name: "others than given",
			given: map[string]string{"UDP_PORT": "9999", "BIND_ADDRESS": "0.0.0.0", "WORKERS": "2", "HTTP_ADDRESS": ":8080"},
			udp:   sockets("[::1]:1"), http: netip.MustParseAddrPort("127.0.0.1:8080"),
			want: []string{"UDP_PORT=1", "BIND_ADDRESS=::1", "HTTP_ADDRESS=127.0.0.1:8080", "WORKERS=1"},
			warnings: []string{
				"VLLM_STATE_GATEWAY_WORKERS (--workers): 2 has no effect",
				"VLLM_STATE_GATEWAY_UDP_PORT (--udp-port): 9999 has no effect",
				"VLLM_STATE_GATEWAY_BIND_ADDRESS (--bind-address): 0.0.0.0 has no effect",
				"VLLM_STATE_GATEWAY_HTTP_ADDRESS (--http-address): :8080 has no effect"}},
		{name: "a name that listens", given: map[string]string{"HTTP_ADDRESS": "localhost:80"},
			http: netip.MustParseAddrPort("127.0.0.1:80"), want: []string{"HTTP_ADDRESS=127.0.0.1:80"}},
		{name: "deaf to broadcasts", given: map[string]string{"NETWORK_MODE": "broadcast"}, udp: sockets("192.0.2.1:9999"),
			want: []string{"BIND_ADDRESS=192.0.2.1", "WORKERS=1"}, warnings: []string{"the passed socket is bound to 192.0.2.1 and hears no broadcast"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := given(t, test.given)
			before, _, err := f.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			if f.Workers == nil {
				before.Workers = 4 // the default depends on the machine
			}
			after, warnings := before.Passed(f, test.udp, test.http)
			var changed []string
			values := before.Values()
			for i, v := range after.Values() {
				if v != values[i] {
					changed = append(changed, strings.TrimPrefix(v.Variable, Prefix)+"="+v.Text)
				}
			}
			slices.Sort(changed)
			slices.Sort(test.want)
			if !slices.Equal(changed, test.want) {
				t.Errorf("changed %q, want %q", changed, test.want)
			}
			if !slices.EqualFunc(warnings, test.warnings, strings.HasPrefix) {
				t.Errorf("warnings %q, want %q", warnings, test.warnings)
			}
		})
	}
}
