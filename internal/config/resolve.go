package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"strconv"
	"strings"
)

// Resolve returns the values that f stands for, and a line for each that is given but without effect.
// The error joins a *ValueError for every text that is not allowed.
func (f Flags) Resolve() (s Settings, warnings []string, err error) {
	workersGiven := f.Workers != nil
	if !workersGiven {
		f.Workers = new(strconv.Itoa(min(runtime.GOMAXPROCS(0), 4)))
	}
	var bad []error
	for _, d := range definitions(&s) {
		text := d.preset
		if given := reflect.ValueOf(f).FieldByIndex(d.field).Interface().(*string); given != nil {
			text = *given
		}
		if !d.kind.set(strings.TrimSpace(text)) {
			bad = append(bad, &ValueError{Variable: d.variable, Flag: d.flag, Value: text, Allowed: d.kind.allowed()})
		}
	}
	if err := errors.Join(bad...); err != nil {
		return Settings{}, nil, err
	}
	if s.NetworkMode == Broadcast {
		s, warnings = s.broadcast(workersGiven)
	}
	return s, warnings, nil
}

// broadcast returns s with what broadcast mode fixes: one socket, since the kernel gives a broadcast to every socket of
// the port, on all IPv4 interfaces, since a socket bound to one address hears no broadcast.
func (s Settings) broadcast(workersGiven bool) (_ Settings, warnings []string) {
	const ignored = "%s (--%s): %v has no effect in broadcast mode, which always %s"
	if s.Workers > 1 && workersGiven {
		warnings = append(warnings, fmt.Sprintf(ignored, Prefix+"WORKERS", "workers", s.Workers, "has one socket"))
	}
	if every := netip.IPv4Unspecified(); s.BindAddress != every {
		warnings = append(warnings, fmt.Sprintf(ignored, Prefix+"BIND_ADDRESS", "bind-address", s.BindAddress,
			"receives on every IPv4 interface"))
		s.BindAddress = every
	}
	s.Workers = 1
	return s, warnings
}
