package api

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/elrar/state-gateway/state"
)

// eventKind is what a server-sent event of /v1/watch is about.
type eventKind uint8

const (
	eventSnapshot eventKind = iota // every engine
	eventUpdate                    // the engines that a state was applied to
	eventRemoved                   // engines that are not held any more
	eventBookmark                  // nothing: the stream lives, and the client has everything
	eventEnd                       // the last one, and why
	eventKinds
)

var eventNames = [eventKinds]string{"snapshot", "update", "removed", "bookmark", "end"}

func (k eventKind) String() string { return eventNames[k] }

// event is one event, encoded once and written to many watchers. But for weighed, which is the feed's own, it is not
// changed any more.
type event struct {
	kind  eventKind
	frame []byte // as it is sent
	cuts  []int  // where the first of its engines begins in frame, and where each ends; nil: it is never split
	ages  ages   // of the states in it, when it was encoded

	weighed uint64 // tick at which it was last counted as kept
}

// separator is between two engines of an event.
const separator = ", "

// writeTo writes the event to one watcher. If it is larger than limit, it goes as several, each with as many of its engines
// as fit, and with one at least; all but the last say that there is more. After a snapshot these are updates, which is
// what the rest of it is to somebody who knows nothing of splitting. They have the frame's bytes: nothing is encoded anew.
// It returns how many events came after the first.
func (e *event) writeTo(w io.Writer, limit int) (further int, err error) {
	if len(e.frame) <= limit || limit == 0 || len(e.cuts) <= 2 {
		_, err = w.Write(e.frame)
		return 0, err
	}
	begin, last := e.cuts[0], e.frame[e.cuts[len(e.cuts)-1]:]
	head := e.frame[:begin]
	more := append(last[:1:1], `, "more": true}`+"\n\n"...)
	for i := 1; ; i++ {
		for room := limit - len(head) - len(more); i+1 < len(e.cuts) && e.cuts[i+1]-begin <= room; i++ {
		}
		end := last
		if i+1 < len(e.cuts) {
			end = more
		}
		for _, part := range [...][]byte{head, e.frame[begin:e.cuts[i]], end} {
			if _, err := w.Write(part); err != nil {
				return further, err
			}
		}
		if i+1 == len(e.cuts) {
			return further, nil
		}
		if begin = e.cuts[i] + len(separator); further == 0 {
			head = append([]byte("event: "+e.kind.rest().String()+"\n"), head[bytes.Index(head, []byte("id: ")):]...)
		}
		further++
	}
}

// rest returns the kind of the events after the first one when one is split.
func (k eventKind) rest() eventKind {
	if k == eventSnapshot {
		return eventUpdate
	}
	return k
}

// reconnect is how long a client waits before it comes back, if it does what the stream says: browsers do, and wait 3 or
// 5 s without it. It is half the usual stale threshold.
const reconnect = time.Second

// variant is which engines a watcher wants and how much of each: all watchers of one variant get the same bytes, split or
// not.
type variant struct {
	stale   bool // stale engines, too
	engines bool // whole engine objects, not the eight fields alone
}

// index tells the variants apart, from 0 to variants-1.
func (v variant) index() (i int) {
	if v.stale {
		i |= 1
	}
	if v.engines {
		i |= 2
	}
	return i
}

const variants = 4

// frame encodes one event: its name, its id and its data, one JSON object on one line. JSON's strings have no raw line
// breaks, which is all that the format asks of it. A snapshot, with which every stream begins, also says when to come
// back.
func (f *feed) frame(kind eventKind, data func(o *object)) *event {
	o := object{f.scratch[:0]}
	f.cuts = f.cuts[:0]
	o.dst = append(o.dst, "event: "...)
	o.dst = append(o.dst, kind.String()...)
	if kind == eventSnapshot {
		o.dst = append(o.dst, "\nretry: "...)
		o.dst = strconv.AppendInt(o.dst, reconnect.Milliseconds(), 10)
	}
	o.dst = append(o.dst, "\nid: "...)
	o.dst = strconv.AppendInt(o.dst, f.epoch, 10)
	o.dst = append(o.dst, '-')
	o.dst = strconv.AppendUint(o.dst, f.revision, 10)
	o.dst = append(o.dst, "\ndata: "...)
	o.open()
	data(&o)
	o.close()
	o.dst = append(o.dst, "\n\n"...)
	f.scratch = o.dst
	e := &event{kind: kind, frame: append(make([]byte, 0, len(o.dst)), o.dst...)}
	if f.limited && len(f.cuts) > 0 {
		e.cuts = slices.Clone(f.cuts)
	}
	return e
}

// cut notes that an engine of the event being encoded ends here, or the first begins.
func (f *feed) cut(o *object) { f.cuts = append(f.cuts, len(o.dst)) }

// encodeStates encodes a snapshot or an update with those of the engines that the variant shows; nil is an update without
// any.
func (f *feed) encodeStates(kind eventKind, v variant, engines []state.Held) *event {
	var ages ages
	shown := 0
	e := f.frame(kind, func(o *object) {
		o.count("revision", f.revision)
		o.integer("server_time_ms", unixMs(f.now.Wall))
		o.name("states")
		o.open()
		f.cut(o)
		for i := range engines {
			held := &engines[i]
			if !v.stale && held.Status(f.now, &f.api.info.Rules) == state.Stale {
				continue
			}
			if shown++; shown > 1 {
				o.dst = append(o.dst, separator...)
			}
			o.dst = state.AppendString(o.dst, held.EngineID)
			o.dst = append(o.dst, ": "...)
			if v.engines {
				f.api.appendEngine(o, held, f.now)
			} else {
				o.dst = held.AppendJSON(o.dst)
			}
			f.cut(o)
			ages.add(held.Silence(f.now))
		}
		o.close()
	})
	if shown == 0 && kind == eventUpdate {
		return nil
	}
	e.ages = ages
	return e
}

func (f *feed) encodeRemoved() *event {
	return f.frame(eventRemoved, func(o *object) {
		o.count("revision", f.revision)
		o.name("engine_ids")
		o.dst = append(o.dst, '[')
		f.cut(o)
		for i, id := range f.removed {
			if i > 0 {
				o.dst = append(o.dst, separator...)
			}
			o.dst = state.AppendString(o.dst, id)
			f.cut(o)
		}
		o.dst = append(o.dst, ']')
	})
}

func (f *feed) encodeBookmark() *event {
	return f.frame(eventBookmark, func(o *object) {
		o.count("revision", f.revision)
		o.integer("server_time_ms", unixMs(f.now.Wall))
	})
}

// ending is why the gateway ends a stream.
type ending uint8

const (
	endStopping ending = iota
	endSlow
	endFailed
)

// reason returns the ending as a word for programs and a sentence for people.
func (e ending) reason() (word, detail string) {
	switch e {
	case endStopping:
		return "stopping", "the gateway is stopping"
	case endSlow:
		return "slow", "the events were not taken in time"
	default:
		return "failed", "the gateway's log says more"
	}
}

// encodeEnd encodes the last event of a stream. It belongs to no revision.
func encodeEnd(why ending) *event {
	word, detail := why.reason()
	o := object{[]byte("event: end\ndata: ")}
	o.open()
	o.text("reason", word)
	o.text("detail", detail)
	o.close()
	return &event{kind: eventEnd, frame: append(o.dst, "\n\n"...)}
}
