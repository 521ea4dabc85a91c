package config

import (
	"fmt"
	"strconv"
)

// ValueError is a setting whose text is not allowed. Its message is one line, whatever the text was.
type ValueError struct {
	Variable string // VLLM_STATE_GATEWAY_UDP_PORT
	Flag     string // udp-port
	Value    string // as given
	Allowed  string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("%s (--%s): %s is not allowed; allowed: %s", e.Variable, e.Flag, quoted(e.Value), e.Allowed)
}

// quoted returns text in quotes, with everything unprintable escaped and the end cut off if it is long.
func quoted(text string) string {
	const most = 80 // bytes: the message then fits in two lines of a terminal
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
