package top

import (
	"fmt"
	"strconv"
	"time"
)

// count returns a number of things in at most six characters: as it is, or rounded, with an SI prefix.
func count(v float64) string {
	if v < 100_000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return prefixed(v)
}

// decimal is count for what has a fraction.
func decimal(v float64) string {
	if v < 9999.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return prefixed(v)
}

// prefixed returns a large number with four digits at most, and an SI prefix as far as there are usual ones.
func prefixed(v float64) string {
	for _, prefix := range []string{"k", "M", "G", "T", "P"} {
		if v /= 1000; v < 999.95 {
			return strconv.FormatFloat(v, 'f', 1, 64) + prefix
		}
	}
	return strconv.FormatFloat(v*1e15, 'e', 0, 64)
}

// span returns a time in at most six characters, as far as it is below 1,000 hours.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}
