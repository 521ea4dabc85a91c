package decode

import "github.com/elrar/state-gateway/state"

// The two ways by themselves, for the tests.

func (d *Decoder) General(payload []byte, s *state.State) state.Reason { return d.general(payload, s) }

func Usual(payload []byte, s *state.State) (line []byte, ok bool) { return usual(payload, s) }

func Quotient(n, d uint64) float64 { return quotient(n, d) }
