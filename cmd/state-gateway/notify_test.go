package main

import (
	"errors"
	"testing"

	"github.com/elrar/state-gateway/internal/gateway"
	"github.com/elrar/state-gateway/state"
)

func TestStatusLine(t *testing.T) {
	s := gateway.Statistics{Sockets: []gateway.Socket{{KernelDropped: 1}, {KernelDropped: 2}}}
	s.Engines[state.Fresh], s.Engines[state.Idle], s.Engines[state.Stale] = 3, 2, 1
	const figures = "; 6 engines, 1 of them stale; 5000 datagrams/s; dropped by the kernel: 3"
	for _, test := range []struct {
		ready    error
		degraded string
		want     string
	}{
		{nil, "", "ready"},
		{errors.New("started 1s ago"), "disk full", "not ready: started 1s ago"},
		{nil, "disk\nfull", `ready, but states are missing from the state log: disk\nfull`},
	} {
		if got := statusLine(test.ready, test.degraded, s, 4999.6); got != test.want+figures {
			t.Errorf("%q", got)
		}
	}
}
