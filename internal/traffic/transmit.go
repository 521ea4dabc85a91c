package traffic

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// batchSender is an mmsg.Sender.
type batchSender interface{ Send([][]byte) (int, error) }

// transmit sends datagrams, and returns how many the kernel took: all of them unless there is an error, which concerns
// the first one not taken, or ctx is done. Errors are counted in failed; after a refusal for now the send is tried again.
func transmit(ctx context.Context, s batchSender, datagrams [][]byte, failed *atomic.Uint64) (taken int, err error) {
	for taken < len(datagrams) {
		n, err := s.Send(datagrams[taken:])
		taken += n
		if err == nil {
			continue
		}
		failed.Add(1)
		switch {
		case refused(err):
		case errors.Is(err, syscall.ENOBUFS):
			if !sleep(ctx, time.Millisecond) { // about what a device takes to send its queue
				return taken, nil
			}
		default:
			return taken, err
		}
	}
	return taken, nil
}

// refused reports whether a send failed because of an earlier datagram that reached nobody: a gateway may be restarted
// under a load.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
