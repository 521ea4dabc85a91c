package top

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/elrar/state-gateway/client"
)

// The styles, in the terminal's own colours. Each has a text beside it that says the same.
var (
	normal  = ansi.NewStyle()
	title   = ansi.NewStyle().Bold()
	good    = ansi.NewStyle().ForegroundColor(ansi.Green)
	quiet   = ansi.NewStyle().ForegroundColor(ansi.Cyan)
	warning = ansi.NewStyle().ForegroundColor(ansi.Yellow)
	alarm   = ansi.NewStyle().ForegroundColor(ansi.Red).Bold()
	titles  = ansi.NewStyle().Reverse(true)
)

// segment is a piece of text that stays together on a line.
type segment struct {
	text  string
	style ansi.Style
}

// View is part of the terminal library's interface.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	return v
}

// lines returns the screen.
func (m *model) lines() []string {
	lines := m.head()
	if m.help {
		lines = append(lines, m.helpLines()...)
	} else {
		lines = append(lines, m.table()...)
	}
	if most := max(0, m.height-1); len(lines) > most {
		lines = lines[:most]
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	return append(lines, m.foot())
}

// head says how it stands with the gateways, and with the engines together.
func (m *model) head() []string {
	var lines []string
	for i, g := range m.seen.gateways {
		all := append([]segment{{plain(g.URL), title}, m.link(i)}, m.figures[i].segments(m.seen.at)...)
		lines = append(lines, wrap(all, m.width)...)
	}
	return append(lines, wrap(m.fleet(), m.width)...)
}

// foundShown is how long it is said that a gateway was found again.
const foundShown = 10 * time.Second

// quietTooLong is the time after which it is said that a gateway has told nothing: a bookmark comes every second.
const quietTooLong = 1500 * time.Millisecond

// link says whether a gateway is followed.
func (m *model) link(i int) segment {
	g := &m.seen.gateways[i]
	age := span(m.seen.at.Sub(g.LastEvent))
	switch {
	case g.Connected && m.seen.at.Sub(g.LastEvent) > quietTooLong:
		return segment{"silent for " + age, warning}
	case g.Connected && !m.found[i].IsZero() && m.seen.at.Sub(m.found[i]) < foundShown:
		return segment{"FOUND again " + span(m.seen.at.Sub(m.found[i])) + " ago", good}
	case g.Connected:
		return segment{"following", good}
	case g.Problem == nil:
		return segment{"connecting", warning}
	case g.LastEvent.IsZero():
		return segment{"NOT REACHED: " + plain(g.Problem.Error()), alarm}
	}
	return segment{"LOST, the view is " + age + " old: " + plain(g.Problem.Error()), alarm}
}

// fleet counts the engines.
func (m *model) fleet() []segment {
	count := map[client.Status]int{}
	conflicts, skews := 0, 0
	for i := range m.seen.engines {
		e := &m.seen.engines[i]
		count[e.Status]++
		if e.Conflict {
			conflicts++
		}
		if skewed(e) {
			skews++
		}
	}
	all := []segment{{fmt.Sprintf("%d engines", len(m.seen.engines)), title}}
	if len(m.seen.engines) == 1 {
		all[0].text = "1 engine"
	}
	for _, s := range statuses[1:] {
		if n := count[s]; n > 0 || s == client.Fresh {
			all = append(all, segment{fmt.Sprintf("%d %s", n, s), statusStyle(s)})
		}
	}
	if conflicts > 0 {
		all = append(all, segment{fmt.Sprintf("%d in conflict", conflicts), warning})
	}
	if skews > 0 {
		all = append(all, segment{fmt.Sprintf("%d with a wrong clock", skews), warning})
	}
	return all
}

func statusStyle(s client.Status) ansi.Style {
	switch s {
	case client.Fresh:
		return good
	case client.Idle, client.Initializing:
		return quiet
	case client.Stale:
		return alarm
	}
	return normal
}

// table returns the titles and the rows that fit.
func (m *model) table() []string {
	places := layout(m.rows, m.seen.at, m.width)
	lines := []string{titles.Styled(fit(m.titles(places), m.width, false))}
	for _, e := range m.rows[m.top:min(m.top+m.page(), len(m.rows))] {
		lines = append(lines, m.row(e, places))
	}
	return lines
}

func (m *model) titles(places []place) string {
	var cells []string
	for _, p := range places {
		c := &columns[p.column]
		text := c.title
		if p.column == m.sortBy {
			text += map[bool]string{false: "▲", true: "▼"}[m.down]
		}
		cells = append(cells, fit(text, p.width, c.right))
	}
	return strings.Join(cells, strings.Repeat(" ", gap))
}

func (m *model) row(e *client.Engine, places []place) string {
	style := normal
	switch {
	case e.Status == client.Stale:
		style = alarm
	case marks(e) != "":
		style = warning
	}
	var b strings.Builder
	for i, p := range places {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		c := &columns[p.column]
		s := style
		if c.title == "STATUS" && e.Status != client.Stale {
			s = statusStyle(e.Status)
		}
		b.WriteString(s.Styled(fit(c.text(e, m.seen.at, p.width), p.width, c.right)))
	}
	return b.String()
}

// foot is the last line: what is shown of all there is, and the keys.
func (m *model) foot() string {
	if m.typing {
		return wrap([]segment{{"engine_id has: " + plain(m.filter) + "_", title}, {"Enter keeps it, Esc drops it", normal}}, m.width)[0]
	}
	var all []segment
	if m.filter != "" {
		all = append(all, segment{"engine_id has " + plain(m.filter), warning})
	}
	if m.status != "" {
		all = append(all, segment{"only " + string(m.status), warning})
	}
	last := min(m.top+m.page(), len(m.rows))
	all = append(all, segment{fmt.Sprintf("%d-%d of %d", min(m.top+1, last), last, len(m.rows)), normal},
		segment{"q quit", normal}, segment{"? help", normal}, segment{"/ filter", normal}, segment{"s status", normal}, segment{"1-9 sort", normal}, segment{"r reverse", normal})
	return wrap(all, m.width)[0]
}

// helpLines explain keys and columns.
func (m *model) helpLines() []string {
	lines := []string{
		"",
		"q Esc Ctrl-C  quit              ↑ ↓ PgUp PgDn Home End  scroll",
		"/             filter by id      s  next status, or all",
		"1 … 9 ← →     sort by a column  r  reverse",
		"",
	}
	for i := range columns {
		number := " "
		if i < 9 {
			number = fmt.Sprint(i + 1)
		}
		lines = append(lines, fmt.Sprintf("%s %-8s  %s", number, columns[i].title, columns[i].about))
	}
	for i := range lines {
		lines[i] = cut(lines[i], m.width)
	}
	return append(lines, "", cut("Any key closes this.", m.width))
}

// wrap puts segments on lines, at least one, two spaces apart. One that is longer than a line is cut.
func wrap(all []segment, width int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for _, s := range all {
		text := cut(s.text, width)
		w := ansi.StringWidth(text)
		if used > 0 && used+gap+w > width {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteString(strings.Repeat(" ", gap))
			used += gap
		}
		line.WriteString(s.style.Styled(text))
		used += w
	}
	return append(lines, line.String())
}
