package top

import (
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/elrar/state-gateway/client"
)

// seenMsg is what the client has at a moment.
type seenMsg struct {
	at       time.Time
	engines  []client.Engine
	gateways []client.GatewayStatus

	width, height int // of the terminal, 0 if not known
}

// statsMsg is a gateway's answer, or why there is none.
type statsMsg struct {
	gateway int
	stats   stats
	err     error
	at      time.Time
}

// model is what is shown, and how.
type model struct {
	width, height int // of the terminal, cells

	seen    seenMsg
	figures []figures        // of each gateway
	found   []time.Time      // when a lost gateway was found again, zero if never
	rows    []*client.Engine // of seen: those that pass the filters, in order

	filter string        // part of the engine_id
	typing bool          // the filter is being typed
	status client.Status // "" is every one
	sortBy int           // a column
	down   bool          // the largest first
	top    int           // the first row shown
	help   bool
}

// statuses are what the key s goes through.
var statuses = []client.Status{"", client.Fresh, client.Idle, client.Initializing, client.Stale}

func newModel(gateways int) *model {
	return &model{width: 80, height: 24, figures: make([]figures, gateways), found: make([]time.Time, gateways)}
}

// Init is part of the terminal library's interface: messages come by themselves.
func (m *model) Init() tea.Cmd { return nil }

// Update takes a message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case seenMsg:
		m.see(msg)
		// The library loses or mixes up the sizes of a terminal that is resized while it starts.
		if msg.width > 0 && msg.height > 0 && (msg.width != m.width || msg.height != m.height) {
			cmd = tea.RequestWindowSize
		}
	case statsMsg:
		m.figures[msg.gateway].add(msg)
	case tea.PasteMsg:
		if m.typing {
			m.filter += msg.Content
		}
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	}
	m.choose()
	return m, cmd
}

// see takes what the client has now.
func (m *model) see(now seenMsg) {
	for i, g := range now.gateways {
		if i < len(m.seen.gateways) && g.Connected && !m.seen.gateways[i].Connected && m.seen.gateways[i].Problem != nil {
			m.found[i] = now.at
		}
	}
	m.seen = now
}

// choose makes the rows anew.
func (m *model) choose() {
	m.rows = m.rows[:0]
	filter := strings.ToLower(m.filter)
	for i := range m.seen.engines {
		e := &m.seen.engines[i]
		if (m.status == "" || e.Status == m.status) && strings.Contains(strings.ToLower(e.EngineID), filter) {
			m.rows = append(m.rows, e)
		}
	}
	c := &columns[m.sortBy]
	slices.SortFunc(m.rows, func(a, b *client.Engine) int { return c.order(a, b, m.seen.at, m.down) })
	m.top = max(0, min(m.top, len(m.rows)-m.page()))
}

// page returns how many rows fit on the screen.
func (m *model) page() int {
	return max(1, m.height-len(m.head())-2) // the table's titles, and the last line
}

// key does what a key asks for.
func (m *model) key(key tea.KeyPressMsg) tea.Cmd {
	name := key.String()
	switch {
	case name == "ctrl+c":
		return tea.Quit
	case name == "ctrl+z":
		return tea.Suspend
	case m.typing:
		m.typeFilter(name, key.Text)
		return nil
	case m.help:
		m.help = false
		return nil
	}
	switch name {
	case "q", "esc":
		return tea.Quit
	case "?", "h":
		m.help = true
	case "/":
		m.typing = true
	case "s":
		m.status = statuses[(slices.Index(statuses, m.status)+1)%len(statuses)]
	case "r":
		m.down = !m.down
	case "left", "<":
		m.sort((m.sortBy + len(columns) - 1) % len(columns))
	case "right", ">":
		m.sort((m.sortBy + 1) % len(columns))
	case "up":
		m.top--
	case "down":
		m.top++
	case "pgup":
		m.top -= m.page()
	case "pgdown", "space":
		m.top += m.page()
	case "home":
		m.top = 0
	case "end":
		m.top = len(m.rows)
	default:
		if len(name) == 1 && name >= "1" && name <= "9" {
			m.sort(int(name[0] - '1'))
		}
	}
	return nil
}

// sort sorts by a column: by the one that it is already, the other way round; by another one, the largest number or the
// first text at the top.
func (m *model) sort(column int) {
	if m.sortBy == column {
		m.down = !m.down
		return
	}
	m.sortBy, m.down = column, columns[column].number != nil
}

// typeFilter changes the filter by a key.
func (m *model) typeFilter(name, text string) {
	switch name {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "backspace":
		if runes := []rune(m.filter); len(runes) > 0 {
			m.filter = string(runes[:len(runes)-1])
		}
	case "ctrl+u":
		m.filter = ""
	default:
		m.filter += text
	}
}
