package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/elrar/state-gateway/internal/config"
)

// The exit codes, after sysexits.h where it has one. 0 is a clean stop.
const (
	exitFailed      = 1  // a run that failed
	exitUsage       = 64 // wrong command line
	exitUnavailable = 69 // cannot serve: a port, an address or the log file is not to be had
	exitConfig      = 78 // bad value, a log file that is no state log, or an unknown name in check-config
)

// exitError is an error that asks for an exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exitCode returns the code that err, which is not nil, ends the process with.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	if _, ok := errors.AsType[*config.ValueError](err); ok {
		return exitConfig
	}
	return exitFailed
}

// usageError returns kong's error, which may quote the command line, as one line and a hint.
func usageError(err error) error {
	const hint = "state-gateway --help"
	text := oneLine(err.Error())
	if strings.HasSuffix(text, "?") {
		text += " See " + hint
	} else {
		text += "; see " + hint
	}
	return &exitError{exitUsage, errors.New(text)}
}

// oneLine returns text with everything unprintable in it escaped, line breaks and terminal codes too.
func oneLine(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
