package main

import (
	"testing"
	"time"
)

func TestMoment(t *testing.T) {
	start := time.Unix(1_755_532_567, 502_843_000)
	for text, want := range map[string]time.Time{
		"0s":                          start,
		"12.5s":                       start.Add(12500 * time.Millisecond),
		"1h30m":                       start.Add(90 * time.Minute),
		"250ms":                       start.Add(250 * time.Millisecond),
		"0":                           start,
		"2025-08-18T15:56:07Z":        time.Unix(1_755_532_567, 0),
		"2025-08-18T17:56:07.5+02:00": time.Unix(1_755_532_567, 500_000_000),
		"1755532567":                  time.Unix(1_755_532_567, 0),
		"1755532567.502843":           start,
		"1755532567495":               time.UnixMilli(1_755_532_567_495),
		"12":                          time.Unix(12, 0), // before any capture: an offset has a unit
	} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := m.in(start); !got.Equal(want) || m.end {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	var m moment
	if err := m.UnmarshalText([]byte("end")); err != nil || !m.end {
		t.Errorf("end: %+v, %v", m, err)
	}
	for _, text := range []string{"", "x", "-1s", "-5", "NaN", "Inf", "1e300", "15:56:07", "2025-08-18", "End"} {
		if err := new(moment).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a time", text)
		}
	}
}
