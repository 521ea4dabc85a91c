package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Level says how much a finding matters.
type Level string

const (
	OK      Level = "ok"      // as it should be
	Note    Level = "note"    // worth knowing
	Problem Level = "problem" // something does not work, or will not
)

// Finding is one thing that was seen.
type Finding struct {
	Level Level  `json:"level"`
	About string `json:"about"`        // settings, network, memory, gateway, sockets, way, arrival, engines, log
	Saw   string `json:"saw"`          // one line
	Do    string `json:"do,omitempty"` // what to do about it, in one line or several; "" if there is nothing to do
}

// Problems reports whether one of the findings is a problem.
func Problems(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Problem })
}

// WriteText writes each finding as a line, and what to do about it in lines of its own.
func WriteText(w io.Writer, findings []Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%-8s %-9s %s\n", f.Level, f.About, f.Saw); err != nil {
			return err
		}
		for line := range strings.Lines(f.Do) {
			if _, err := fmt.Fprintf(w, "%-8s %-9s → %s\n", "", "", strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteJSON writes the findings as an array.
func WriteJSON(w io.Writer, findings []Finding) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(findings)
}

// findings collects what the rules find.
type findings []Finding

func (f *findings) add(level Level, about, do, format string, args ...any) {
	*f = append(*f, Finding{Level: level, About: about, Saw: fmt.Sprintf(format, args...), Do: do})
}
