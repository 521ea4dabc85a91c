package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/term"

	"github.com/elrar/state-gateway/internal/traffic"
)

// load sends until ctx ends or opts.For is over, reports on standard output, and with opts.Gateway fails unless each
// datagram is accounted for.
func load(ctx context.Context, opts loadCommand) error {
	target, err := resolveTarget(ctx, opts.Target)
	if err != nil {
		return err
	}
	l, err := traffic.NewLoad(traffic.LoadConfig{Target: target, Engines: opts.Engines, Rate: float64(opts.Rate),
		Senders: opts.Senders, GSO: opts.GSO, Shape: opts.Shape, Invalid: opts.invalid()})
	if err != nil {
		return err
	}
	defer l.Close()
	var books *ledger
	if opts.Gateway != nil {
		if books, err = openLedger(ctx, statsReader(&opts.Gateway.URL)); err != nil {
			return err
		}
	}

	sending, cancel := ctx, context.CancelFunc(func() {})
	if opts.For > 0 {
		sending, cancel = context.WithTimeout(ctx, opts.For)
	}
	defer cancel()
	begin := time.Now()
	stopProgress := showProgress(os.Stderr, l, begin)
	err = l.Run(sending)
	took := time.Since(begin)
	stopProgress()

	if reported := reportLoad(os.Stdout, l, opts, target, took); err != nil || reported != nil {
		return errors.Join(err, reported)
	}
	if books != nil {
		// A first signal ends the load, not its account; a second one ends everything.
		r, err := books.settle(context.WithoutCancel(ctx), l.Sent(), int64(l.Invalid()))
		if err != nil {
			return err
		}
		if err := errors.Join(r.write(os.Stdout), r.Err()); err != nil {
			return err
		}
	}
	if n := l.Failed(); n > 0 {
		return fmt.Errorf("%d sends were refused: for some time nobody listened at %v", n, target)
	}
	return nil
}

// resolveTarget returns the address of a target that checkTarget has passed; of a name with several, the first IPv4 one.
func resolveTarget(ctx context.Context, target string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("--target=%s: %w", oneLine(target), err)
	}
	for i := range found {
		found[i] = found[i].Unmap() // the resolver may give IPv4 addresses as mapped ones
	}
	first := max(0, slices.IndexFunc(found, netip.Addr.Is4))
	return netip.AddrPortFrom(found[first], uint16(n)), nil
}

// reportLoad writes what was sent.
func reportLoad(w io.Writer, l *traffic.Load, opts loadCommand, target netip.AddrPort, took time.Duration) error {
	_, err := fmt.Fprintf(w, "%d engines, %s datagrams, rate %v, to udp://%v for %.1f s\n", opts.Engines, opts.Shape, opts.Rate, target, took.Seconds())
	figure(w, "sent", int64(l.Sent()), "")
	figure(w, "invalid", int64(l.Invalid()), "")
	figure(w, "rate", int64(float64(l.Sent())/took.Seconds()), "/s")
	figure(w, "errors", int64(l.Failed()), "")
	return err
}

// showProgress says until stop is called how far the load is: once a second on one line of a terminal, else every 10 s
// on a line each, which is not too much for the log of a long run.
func showProgress(w *os.File, l *traffic.Load, begin time.Time) (stop func()) {
	every, before, after := 10*time.Second, "", "\n"
	const clear = "\r\x1b[K" // to the line's start, and empty it
	terminal := term.IsTerminal(int(w.Fd()))
	if terminal {
		every, before, after = time.Second, clear, ""
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		sent, last := uint64(0), begin
		for {
			select {
			case <-done:
				if terminal {
					fmt.Fprint(w, clear)
				}
				return
			case now := <-tick.C:
				n := l.Sent()
				fmt.Fprintf(w, "%s%4.0fs  sent: %d | datagrams/s: %.0f | invalid: %d | errors: %d%s", before, now.Sub(begin).Seconds(), n,
					float64(n-sent)/now.Sub(last).Seconds(), l.Invalid(), l.Failed(), after)
				sent, last = n, now
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
