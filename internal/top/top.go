package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"github.com/elrar/state-gateway/client"
)

// Terminal is where the view is shown and keys come from.
type Terminal struct {
	In, Out *os.File
	Environ []string // TERM, NO_COLOR and the like, as os.Environ gives them
}

// redraw is the least time between two looks at the engines; they are shown this often at most.
const redraw = 200 * time.Millisecond

// agesShown is the longest time: ages go on although nothing changes.
const agesShown = time.Second

// keysPerSecond bounds how often keys that are held down redraw the screen.
const keysPerSecond = 20

// Run shows the engines that w has, which should include stale ones, until a key ends it or ctx is done.
func Run(ctx context.Context, w *client.Watcher, t Terminal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gateways := w.Gateways()
	options := []tea.ProgramOption{tea.WithInput(t.In), tea.WithOutput(t.Out), tea.WithEnvironment(t.Environ),
		tea.WithoutSignalHandler(), tea.WithFPS(keysPerSecond)}
	if noColor(t.Environ) {
		options = append(options, tea.WithColorProfile(colorprofile.ASCII))
	}
	p := tea.NewProgram(newModel(len(gateways)), options...)

	var running sync.WaitGroup
	running.Go(func() { follow(ctx, w, p, t.Out) })
	for i, g := range gateways {
		running.Go(func() { poll(ctx, i, g.URL, func(answer statsMsg) { p.Send(answer) }) })
	}
	stop := context.AfterFunc(ctx, p.Quit)
	_, err := p.Run()
	stop()
	cancel()
	running.Wait()
	return err
}

// follow tells the program what the client has, when that changes or its age does.
func follow(ctx context.Context, w *client.Watcher, p *tea.Program, out *os.File) {
	for {
		changed := w.Changed()
		seen := seenMsg{at: time.Now(), engines: w.Engines(), gateways: w.Gateways()}
		if width, height, err := term.GetSize(int(out.Fd())); err == nil {
			seen.width, seen.height = width, height
		}
		p.Send(seen)
		select {
		case <-ctx.Done():
			return
		case <-time.After(redraw):
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(agesShown - redraw):
		}
	}
}

// noColor reports whether NO_COLOR is set, whatever to (no-color.org); the library wants a true value.
func noColor(environ []string) bool {
	return slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "NO_COLOR=") && v != "NO_COLOR=" })
}

// Print writes one table of the engines that w has, with all columns that say something, once all gateways have told of
// theirs, or those that do within the given time. The error, of one line, says that none does.
func Print(ctx context.Context, w *client.Watcher, within time.Duration, out io.Writer) error {
	over := time.After(within)
	told := func() (n int) {
		for _, g := range w.Gateways() {
			if g.Streams > 0 {
				n++
			}
		}
		return n
	}
	for waiting := true; waiting; {
		changed := w.Changed()
		if told() == len(w.Gateways()) {
			break
		}
		select {
		case <-changed:
		case <-over:
			waiting = false
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if told() == 0 {
		return unreached(w.Gateways())
	}
	m := newModel(0)
	m.see(seenMsg{at: time.Now(), engines: w.Engines()})
	m.choose()
	return m.write(out)
}

// unreached says why no gateway has told anything.
func unreached(gateways []client.GatewayStatus) error {
	var all []string
	for _, g := range gateways {
		why := "no answer"
		if g.Problem != nil {
			why = g.Problem.Error()
		}
		all = append(all, plain(fmt.Sprintf("%s: %s", g.URL, why)))
	}
	return errors.New("no gateway reached: " + strings.Join(all, "; "))
}

// everything is wider than all columns together.
const everything = 1 << 12

// write writes the table without styles, as wide as it is.
func (m *model) write(out io.Writer) error {
	places := layout(m.rows, m.seen.at, everything)
	lines := []string{m.titles(places)}
	for _, e := range m.rows {
		var cells []string
		for _, p := range places {
			cells = append(cells, fit(columns[p.column].text(e, m.seen.at, p.width), p.width, columns[p.column].right))
		}
		lines = append(lines, strings.Join(cells, strings.Repeat(" ", gap)))
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}
