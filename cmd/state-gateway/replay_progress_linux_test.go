package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new terminal: what is written to the second one can be read from the first.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return screen, terminal
}

// On a terminal there is a bar with the rate and the time left, or, when the end cannot be known, without; then it goes.
func TestReplayProgressOnATerminal(t *testing.T) {
	t.Parallel()
	path := writeCapture(t, 1, 100) // 20 s
	for _, test := range []struct {
		file string
		want string
	}{
		{path, `sent [0-9]+, [0-9]+/s, errors 0 +[1-9][0-9]% \|[^|]+\|  \[[0-9]+s:[0-9]+s\]`},
		{"-", `sent [0-9]+, [0-9]+/s, errors 0 +\[[0-9]+s\]`},
	} {
		screen, terminal := openTerminal(t)
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		shown := make(chan string)
		go func() {
			var text strings.Builder
			buf := make([]byte, 4096)
			for {
				n, err := screen.Read(buf)
				text.Write(buf[:n])
				if err != nil { // EIO, when nobody has the terminal any more
					shown <- text.String()
					return
				}
			}
		}()
		cmd := exec.Command(binary, "replay", "--speed=10x", "--target="+sink(t), test.file)
		cmd.Env, cmd.Stdin, cmd.Stderr = []string{}, io.MultiReader(in), terminal // from a pipe
		out, err := cmd.Output()
		terminal.Close()
		text := <-shown
		if err != nil || !regexp.MustCompile(test.want).MatchString(text) || figures(t, string(out))["sent"] != 100 {
			t.Errorf("%s: %v: %s%q", test.file, err, out, text)
		}
		if last := text[strings.LastIndex(strings.TrimRight(text, "\r"), "\r")+1:]; strings.TrimSpace(last) != "" {
			t.Errorf("%s: it leaves %q", test.file, last)
		}
	}
}
