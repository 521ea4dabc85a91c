package acceptance

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit ends whatever a row waits for: far more than anything takes, but for building the image.
const limit = 60 * time.Second

// acceptance is a run of the guide.
type acceptance struct {
	*site
	commands map[string]string // the guide's blocks by name
	ran      map[string]bool   // of them
	stages   []string          // images that name the stages of the Dockerfile
	page     *transcript
}

// row is one row of the guide while it is run. Its methods end the test when something is not as it must be.
type row struct {
	*acceptance
	testing.TB
	section *section // of the transcript
}

// result is what a command left behind.
type result struct {
	code   int
	output string // standard output and error
}

// guide runs a block of the guide and returns what it printed. It must end with exit code 0.
func (r *row) guide(name string) string {
	r.Helper()
	return r.guideEnds(name, 0)
}

// guideEnds runs a block of the guide, which must end with the given exit code.
func (r *row) guideEnds(name string, code int) string {
	r.Helper()
	command, shown := r.block(name)
	return r.shell(command, shown, code)
}

// guideUntil runs a block of the guide until a condition holds, and ends it as Ctrl-C does unless it has ended.
func (r *row) guideUntil(name, what string, holds func() bool) {
	r.Helper()
	command, shown := r.block(name)
	ctx, interrupt := context.WithCancel(r.Context())
	defer interrupt()
	done := make(chan result, 1)
	go func() { done <- bash(ctx, command, "") }()
	r.await(what, holds)
	interrupt()
	r.section.command(shown, (<-done).output)
}

// block returns a block of the guide as it is run here, and as it is shown.
func (r *row) block(name string) (command, shown string) {
	r.Helper()
	text, known := r.commands[name]
	if !known {
		r.Fatalf("the guide has no block %s", name)
	}
	r.ran[name] = true
	return r.adapt(text)
}

// besides runs a command that the guide does not have, such as an engine in another container.
func (r *row) besides(command string) string {
	r.Helper()
	return r.shell(command, command, 0)
}

// shell runs a command, which must end with the given exit code, and puts it into the transcript.
func (r *row) shell(command, shown string, code int) string {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), commandLimit(command))
	defer cancel()
	got := bash(ctx, command, "")
	r.section.command(shown, got.output)
	if got.code != code {
		r.Fatalf("exit code %d, want %d, of\n%s\n%s", got.code, code, shown, got.output)
	}
	return got.output
}

// shellMeanwhile starts a command and returns a function that waits for its end, with exit code 0, and returns what it
// printed.
func (r *row) shellMeanwhile(command, shown string) (wait func() string) {
	ctx, cancel := context.WithTimeout(r.Context(), commandLimit(command))
	done := make(chan result, 1)
	go func() { done <- bash(ctx, command, "") }()
	return func() string {
		r.Helper()
		defer cancel()
		got := <-done
		r.section.command(shown, got.output)
		if got.code != 0 {
			r.Fatalf("exit code %d of\n%s\n%s", got.code, shown, got.output)
		}
		return got.output
	}
}

// quiet runs a command without a word in the transcript and returns what it printed. It must end with exit code 0.
func (r *row) quiet(command string) string {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), commandLimit(command))
	defer cancel()
	got := bash(ctx, command, "")
	if got.code != 0 {
		r.Fatalf("exit code %d of\n%s\n%s", got.code, command, got.output)
	}
	return got.output
}

// docker runs docker without a word in the transcript and returns what it printed, trimmed.
func (r *row) docker(arguments ...string) string {
	r.Helper()
	out, err := exec.CommandContext(r.Context(), "docker", arguments...).CombinedOutput()
	if err != nil {
		r.Fatalf("docker %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// await waits until a condition holds.
func (r *row) await(what string, holds func() bool) {
	r.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("%s: not within %v\n%s", what, limit, r.messages())
		}
	}
}

// saw puts what was seen into the transcript.
func (r *row) saw(format string, arguments ...any) { r.section.fact(format, arguments...) }

// commandLimit ends a command that hangs. A build compiles Go's standard library.
func commandLimit(command string) time.Duration {
	if strings.Contains(command, "docker build") {
		return 10 * time.Minute
	}
	return 4 * time.Minute // the rated load takes two
}

// bash runs a command in the project's folder, with some input. Its processes are interrupted when ctx ends.
func bash(ctx context.Context, command, input string) result {
	cmd := exec.CommandContext(ctx, "bash", "-ec", command)
	cmd.Dir = "../.."
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	got := result{cmd.ProcessState.ExitCode(), output.String()}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		got.output += err.Error()
	}
	return got
}
