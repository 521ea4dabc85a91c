package main

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// moment is a time in a capture: an offset from its start, a time of day, or its end.
type moment struct {
	text   string
	end    bool
	at     time.Time // zero for an offset
	offset time.Duration
}

// millisecondsFrom is the number from which Unix time is taken for ms, as timestamp_ms has it: as seconds it would be in
// the year 5138.
const millisecondsFrom = 1e11

// UnmarshalText takes a duration such as 12.5s, a time of RFC 3339, Unix time in s or ms, or "end".
func (m *moment) UnmarshalText(text []byte) error {
	*m = moment{text: string(text), end: string(text) == "end"}
	if m.end {
		return nil
	}
	if offset, err := time.ParseDuration(m.text); err == nil && offset >= 0 {
		m.offset = offset
		return nil
	}
	if at, err := time.Parse(time.RFC3339, m.text); err == nil {
		m.at = at
		return nil
	}
	unix, err := strconv.ParseFloat(m.text, 64)
	if unix >= millisecondsFrom {
		unix /= 1000
	}
	if err != nil || !(unix > 0 && unix < millisecondsFrom) {
		return fmt.Errorf("must be end, a duration from the start of the capture such as 12.5s, a time such as 2026-01-31T12:00:00Z, or Unix time, not %q", text)
	}
	whole, fraction := math.Modf(unix)
	m.at = time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1000) // a float64 has no more than the µs
	return nil
}

// in returns the time in a capture that begins at start.
func (m *moment) in(start time.Time) time.Time {
	if m.at.IsZero() {
		return start.Add(m.offset)
	}
	return m.at
}
