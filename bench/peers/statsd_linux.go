package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/elrar/state-gateway/internal/mmsg"
)

// statsdSize is the size of a datagram of all five gauges, that of a load's JSON; one of one gauge is as long as it is.
const statsdSize = 296

// statsdDatagram returns the numbers of one engine's state as gauges, in the form with tags: all five, or the first.
// All engines' have the same size. A text, as the scheduling mode is one, statsd cannot carry.
func statsdDatagram(engine, gauges int) []byte {
	lines := []string{
		"latency_pred_ms:21.253122228102537",
		"pending_tokens_total:1000000000",
		"kv_cache_free_blocks:4096",
		"kv_cache_total_blocks:8192",
		"engine_capacity:59768.2749641796",
	}[:gauges]
	for i, line := range lines {
		lines[i] = fmt.Sprintf("%s|g|#engine_id:load-%06d", line, engine)
	}
	text := strings.Join(lines, "\n")
	if gauges == 5 { // fill the last number's fraction up with zeros
		text = strings.Replace(text, "2749641796", "2749641796"+strings.Repeat("0", statsdSize-len(text)), 1)
	}
	return []byte(text)
}

// sendStatsd sends gauges of engines, one after the other, until the time is up or a signal comes: what state-gateway
// load does with JSON. Each round of the engines has other values.
func sendStatsd(args []string) error {
	flags := flag.NewFlagSet("send-statsd", flag.ExitOnError)
	var (
		target  = flags.String("target", "", "host:port")
		engines = flags.Int("engines", 1000, "")
		load    = flags.String("rate", "max", "datagrams/s, or max")
		limit   = flags.Duration("for", 10*time.Second, "")
		gso     = flags.Bool("gso", false, "UDP segmentation offload")
		gauges  = flags.Int("gauges", 5, "a datagram, 1 or 5")
	)
	flags.Parse(args)
	perSecond, err := rate(*load)
	if err != nil {
		return err
	}
	address, err := net.ResolveUDPAddr("udp4", *target)
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp4", nil, address)
	if err != nil {
		return err
	}
	defer conn.Close()

	templates := make([][]byte, *engines)
	for i := range templates {
		templates[i] = statsdDatagram(i, *gauges)
	}
	size := len(templates[0])
	digits := strings.Index(string(templates[0]), "253122") // of the latency's fraction: they change each round
	const batch = 64
	segments := 1
	if *gso {
		if err := mmsg.SetSegmentation(conn, size); err != nil {
			return err
		}
		segments = min(mmsg.MaxSegments, 65507/size)
	}
	sender, err := mmsg.NewSender(conn, batch)
	if err != nil {
		return err
	}
	buffers := make([][]byte, max(1, batch/segments))
	for i := range buffers {
		buffers[i] = make([]byte, segments*size)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	begin, sent, next, round := time.Now(), 0, 0, 0
	filled := make([][]byte, 0, len(buffers))
	for ctx.Err() == nil {
		due := len(buffers) * segments
		if perSecond > 0 {
			due = min(due, int(time.Since(begin).Seconds()*perSecond)-sent)
			if due <= 0 {
				time.Sleep(time.Duration(float64(sent+1)/perSecond*float64(time.Second)) - time.Since(begin))
				continue
			}
		}
		sent += due
		filled = filled[:0]
		for _, buffer := range buffers {
			n := min(due, segments)
			if n == 0 {
				break
			}
			for i := range n {
				datagram := buffer[i*size : (i+1)*size]
				copy(datagram, templates[next])
				for k, v := 5, round*7919; k >= 0; k, v = k-1, v/10 {
					datagram[digits+k] = byte('0' + v%10)
				}
				if next++; next == len(templates) {
					next, round = 0, round+1
				}
			}
			filled = append(filled, buffer[:n*size])
			due -= n
		}
		for rest := filled; len(rest) > 0; {
			n, err := sender.Send(rest)
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}
