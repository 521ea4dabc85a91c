package replay

import (
	"math"
	"strconv"
	"time"

	"github.com/elrar/state-gateway/state"
)

// Retimed is a stream whose states look as if they were taken now.
type Retimed struct {
	src    Source
	now    func(first time.Time) time.Time
	speed  float64
	fields fields
	text   []byte

	began bool
	first float64 // Unix ms of the first datagram's Time
	start float64 // what now returned, Unix ms
}

// Retime returns src with each state's timestamp_ms moved by as much as lies between the time of the first datagram and
// what now returns when that has come; a run without sockets takes its captured time for now. What lies between a timestamp
// and the time of its datagram, the network's delay and the skew of the sender's clock, stays. Timestamps of one engine
// keep their order, and equal ones stay equal.
//
// With a speed other than 1 the differences shrink (or grow) with the time in which they are sent, so that the
// timestamps stay near the clock instead of running ahead of it; far above 1, states that follow each other closely come
// to have the same millisecond. A speed of 0, "as fast as possible", has no clock that they could keep to, and leaves
// the differences alone.
//
// Rounds of a Loop and the engines of Multiply beneath it count as captured when they are sent. Only the digits of
// timestamp_ms are changed; what is no state is passed as it is.
func Retime(src Source, now func(first time.Time) time.Time, speed float64) *Retimed {
	if speed == 0 {
		speed = 1
	}
	return &Retimed{src: src, now: now, speed: speed}
}

// Next returns the next datagram.
func (r *Retimed) Next() (Datagram, error) {
	d, err := r.src.Next()
	if err != nil {
		return Datagram{}, err
	}
	if !r.began {
		r.began = true
		r.first, r.start = milliseconds(d.Time), math.Floor(milliseconds(r.now(d.Time)))
	}
	_, at, ok := r.fields.find(d.Payload)
	if !ok {
		return d, nil
	}
	// Floats hold whole milliseconds up to 2^53 exactly, which is as far as timestamps go.
	since := float64(r.fields.state.TimestampMs) + float64(d.shift)/float64(time.Millisecond) - r.first
	moved := min(max(r.start+math.Floor(since/r.speed), 0), state.MaxInteger)
	r.text = append(r.text[:0], d.Payload[:at.begin]...)
	r.text = strconv.AppendInt(r.text, int64(moved), 10)
	r.text = append(r.text, d.Payload[at.end:]...)
	d.Payload = r.text
	return d, nil
}

func milliseconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }
