//go:build unix

package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
)

func TestUntilSignal(t *testing.T) {
	codes := make(chan int, 1)
	ctx, stop := untilSignal(t.Context(), func(code int) { codes <- code })
	defer stop()
	send := func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	send()
	<-ctx.Done()
	if why := context.Cause(ctx).Error(); !strings.Contains(why, "terminated") {
		t.Errorf("cause %q", why)
	}
	if len(codes) != 0 {
		t.Error("the first signal exits")
	}
	send()
	if code := <-codes; code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}
