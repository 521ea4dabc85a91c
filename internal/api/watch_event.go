package api

import (
	"strconv"

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

// event is one event, encoded once and written to many watchers. It is not changed any more.
type event struct {
	kind  eventKind
	frame []byte // as it is sent
	ages  ages   // of the states in it, when it was encoded

	weighed uint64 // tick at which it was last counted as kept; the feed's own
}

// variant is which engines a watcher wants and how much of each: all watchers of one variant get the same bytes.
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
// breaks, which is all that the format asks of it.
func (f *feed) frame(kind eventKind, data func(o *object)) *event {
	o := object{f.scratch[:0]}
	o.dst = append(o.dst, "event: "...)
	o.dst = append(o.dst, kind.String()...)
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
	return &event{kind: kind, frame: append(make([]byte, 0, len(o.dst)), o.dst...)}
}

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
		for i := range engines {
			held := &engines[i]
			if !v.stale && held.Status(f.now, &f.api.info.Rules) == state.Stale {
				continue
			}
			if shown++; shown > 1 {
				o.dst = append(o.dst, ", "...)
			}
			o.dst = state.AppendString(o.dst, held.EngineID)
			o.dst = append(o.dst, ": "...)
			if v.engines {
				f.api.appendEngine(o, held, f.now)
			} else {
				o.dst = held.AppendJSON(o.dst)
			}
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
		for i, id := range f.removed {
			if i > 0 {
				o.dst = append(o.dst, ", "...)
			}
			o.dst = state.AppendString(o.dst, id)
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
