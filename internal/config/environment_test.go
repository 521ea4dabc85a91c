package config

import (
	"slices"
	"strings"
	"testing"
)

func TestUnknownNames(t *testing.T) {
	got := UnknownNames([]string{
		"PATH=/bin",
		"VLLM_STATE_GATEWAY_UDP_PORT=9999", // known
		"VLLM_STATE_GATEWAY_URL=http://x",  // a client's, as are the next two
		"VLLM_STATE_GATEWAY_INCLUDE_STALE=true",
		"VLLM_STATE_GATEWAY_FILL_CAPACITY=1000",
		"VLLM_STATE_GATEWAY_URLS=http://x",
		"VLLM_STATE_GATEWAY_INCLUDE_STAEL=true",
		"VLLM_STATE_GATEWAY_STALE_TRESHOLD=1",
		"VLLM_STATE_GATEWAY_HTTP_PORT=", // empty: unset
		"vllm_state_gateway_udp_port=1", // other letters, other variable
		"VLLM_STATE_GATEWAYS=1",
		"VLLM_STATE_GATEWAY_SERVICE_PORT=80",
	})
	want := []Unknown{
		{Prefix + "INCLUDE_STAEL", Prefix + "INCLUDE_STALE"},
		{Prefix + "SERVICE_PORT", Prefix + "UDP_PORT"},
		{Prefix + "STALE_TRESHOLD", Prefix + "STALE_THRESHOLD"},
		{Prefix + "URLS", Prefix + "URL"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestUnknownIsOneLine(t *testing.T) {
	u := UnknownNames([]string{Prefix + "A\nB=1"})
	if len(u) != 1 || strings.Contains(u[0].String(), "\n") || !strings.Contains(u[0].String(), `VLLM_STATE_GATEWAY_A\nB`) {
		t.Errorf("%q", u)
	}
}

func TestEmptyVariables(t *testing.T) {
	got := EmptyVariables([]string{"A=", Prefix + "UDP_PORT=", Prefix + "CLOCK= \t", Prefix + "HISTORY=0", Prefix + "X="})
	slices.Sort(got)
	if want := []string{Prefix + "CLOCK", Prefix + "UDP_PORT", Prefix + "X"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
