package replay

import (
	"context"
	"sync/atomic"
)

// readAhead is how many datagrams are read before they are due: at 100,000/s, those of 10 ms, which is longer than it
// takes to decompress a block.
const readAhead = 1024

// ahead reads a Source in a goroutine of its own, so that a slow read holds up nothing that is due, and so that a read
// that waits for a pipe can be left.
type ahead struct {
	ready chan *owned // closed at the end
	free  chan *owned
	err   error         // why it ended; to be read when ready is closed
	count atomic.Uint64 // datagrams read
	done  chan struct{} // closed when nothing is read any more
}

// owned is a datagram whose payload belongs to whoever has it.
type owned struct {
	Datagram
	payload []byte
}

// start reads src until it ends or ctx is done.
func start(ctx context.Context, src Source) *ahead {
	a := &ahead{ready: make(chan *owned, readAhead), free: make(chan *owned, readAhead), done: make(chan struct{})}
	for range readAhead {
		a.free <- &owned{}
	}
	go func() {
		defer close(a.done)
		defer close(a.ready)
		for {
			select {
			case <-ctx.Done():
				a.err = context.Cause(ctx)
				return
			case o := <-a.free:
				d, err := src.Next()
				if err != nil {
					a.err = err
					return
				}
				o.payload = append(o.payload[:0], d.Payload...)
				o.Datagram, o.Datagram.Payload = d, o.payload
				a.count.Add(1)
				a.ready <- o
			}
		}
	}()
	return a
}
