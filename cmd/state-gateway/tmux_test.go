package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/internal/needs"
)

// pane is a terminal of tmux with one run of the binary in it.
type pane struct {
	t       *testing.T
	program string // tmux
	socket  string
	pidFile string
}

// inShell runs a command, says how it ended, and then shows what is typed.
const inShell = `sh -c 'echo $$ >"$PID_FILE"; exec "$0" "$@"' "$0" "$@"; echo "it ended with $?"; exec cat`

// openPane runs a command of the real binary in a terminal of 80×24, with an environment beside its own.
func openPane(t *testing.T, environ []string, args ...string) *pane {
	t.Helper()
	term := &pane{t: t, program: needs.Command(t, "tmux")}
	dir, err := os.MkdirTemp("", "tmux") // the test's own directory may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	term.socket = filepath.Join(dir, "socket")
	term.pidFile = filepath.Join(dir, "pid")
	settings := filepath.Join(dir, "tmux.conf")
	if err := os.WriteFile(settings, []byte("set -g status off\nset -g default-terminal screen-256color\nset -s escape-time 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { term.tmux("kill-server") })
	cmd := exec.Command(term.program, append([]string{"-u", "-S", term.socket, "-f", settings, "new-session", "-d", "-x", "80", "-y", "24", "sh", "-c", inShell, binary}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "LC_ALL=C.UTF-8", "SHELL=/bin/sh", "TMPDIR=" + dir, "PID_FILE=" + term.pidFile}, environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	return term
}

// tmux runs a command of tmux and returns what it says.
func (term *pane) tmux(args ...string) string {
	term.t.Helper()
	out, err := exec.Command(term.program, append([]string{"-u", "-S", term.socket}, args...)...).CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// screen returns what is to be seen, without the spaces at the ends of lines.
func (term *pane) screen() string { return term.tmux("capture-pane", "-p") }

// colours is screen with the colours.
func (term *pane) colours() string { return term.tmux("capture-pane", "-p", "-e", "-N") }

func (term *pane) press(keys ...string) { term.tmux(append([]string{"send-keys"}, keys...)...) }

// resize makes the terminal another size.
func (term *pane) resize(width, height int) {
	term.tmux("resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

// await waits until the screen is as it should be, and returns it.
func (term *pane) await(what string, holds func(screen string) bool) string {
	term.t.Helper()
	var last string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = term.screen(); holds(last) {
			return last
		}
	}
	term.t.Fatalf("%s: not within 30 s:\n%s", what, last)
	return ""
}

// shows waits until the screen has all of some texts, and returns it.
func (term *pane) shows(texts ...string) string {
	term.t.Helper()
	return term.await(fmt.Sprintf("%q", texts), func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// pid returns the process of the binary.
func (term *pane) pid() (pid int) {
	term.t.Helper()
	text, err := os.ReadFile(term.pidFile)
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	if err != nil {
		term.t.Fatal(err)
	}
	return pid
}

// ended waits for the binary's end and returns its exit code and all that is left in the terminal, with what has scrolled
// out of sight. It fails the test if the terminal is not as it was before.
func (term *pane) ended() (code int, left string) {
	term.t.Helper()
	term.shows("it ended with")
	term.press("typed", "Enter")
	term.shows("typed\ntyped") // it echoes, and ends lines
	if state := term.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_cursor_flag} #{mouse_any_flag}"); state != "0 1 0 0" {
		term.t.Errorf("the terminal is left with %s", state)
	}
	left, said, _ := strings.Cut(term.tmux("capture-pane", "-p", "-J", "-S", "-"), "it ended with ")
	if _, err := fmt.Sscanf(said, "%d\ntyped\n", &code); err != nil { // and nothing between
		term.t.Errorf("%v: %q", err, said)
	}
	return code, left
}
