package acceptance

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	mostLines = 24  // of a command's output that the transcript shows
	mostWidth = 240 // of each of them, in characters
)

// transcript is what the run shows with -v.
type transcript struct {
	sections []*section
	shown    map[string]bool // commands of several lines that stand there in full already
}

// section is the transcript of one row.
type section struct {
	title    string
	page     *transcript
	text     strings.Builder
	facts    []string
	commands int
	took     time.Duration
}

func (t *transcript) section(title string) *section {
	s := &section{title: title, page: t}
	t.sections = append(t.sections, s)
	return s
}

// command adds a command and what it printed. A long one is shown in full the first time only.
func (s *section) command(command, output string) {
	s.commands++
	command = strings.TrimSpace(command)
	if first, _, long := strings.Cut(command, "\\\n"); long {
		if s.page.shown[command] {
			command = first + "… (as above)"
		} else {
			s.page.shown[command] = true
		}
	}
	fmt.Fprintf(&s.text, "\n```text\n$ %s\n", strings.ReplaceAll(command, "\n", "\n  "))
	for _, line := range excerpt(output) {
		s.text.WriteString(line + "\n")
	}
	s.text.WriteString("```\n")
}

// fact adds a sentence about what was seen.
func (s *section) fact(format string, arguments ...any) {
	s.facts = append(s.facts, fmt.Sprintf(format, arguments...))
}

func (s *section) String() string {
	text := fmt.Sprintf("\n## %s\n\n", s.title)
	for _, fact := range s.facts {
		text += "- " + fact + "\n"
	}
	return text + s.text.String()
}

// table returns a line for each row: its commands and seconds.
func (t *transcript) table() string {
	table := "\n| part of the guide | commands | seconds |\n|---|---|---|\n"
	for _, s := range t.sections {
		table += fmt.Sprintf("| %s | %d | %.0f |\n", s.title, s.commands, s.took.Seconds())
	}
	return table
}

var (
	terminalCodes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\r")
	containerID   = regexp.MustCompile(`^([0-9a-f]{12})[0-9a-f]{52}$`)
)

// excerpt returns an output's first and last lines, each cut to a width that one can read.
func excerpt(output string) []string {
	output = strings.TrimRight(terminalCodes.ReplaceAllString(output, ""), "\n ")
	if output == "" {
		return nil
	}
	lines := strings.Split(output, "\n")
	if len(lines) > mostLines {
		left := len(lines) - mostLines + 1
		lines = append(append(lines[:mostLines/2:mostLines/2], fmt.Sprintf("… %d lines …", left)), lines[mostLines/2+left:]...)
	}
	for i, line := range lines {
		line = containerID.ReplaceAllString(strings.TrimRight(line, " \t"), "$1…")
		if runes := []rune(line); len(runes) > mostWidth {
			line = string(runes[:mostWidth]) + "…"
		}
		lines[i] = line
	}
	return lines
}
