package replay

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/state"
)

// fields finds in a datagram's text what changes are made to: the gateway's own decoder says whether it is a state at
// all, a tokenizer where the values stand. Its zero value is ready for use, by one goroutine.
type fields struct {
	decoder *decode.Decoder
	state   state.State // of the last datagram that is one; its strings are valid until the next
	text    bytes.Buffer
	tokens  jsontext.Decoder
}

// span is a part of a payload.
type span struct{ begin, end int }

// isState reports whether a gateway would take the payload for a state, which is then in f.state.
func (f *fields) isState(payload []byte) bool {
	if f.decoder == nil {
		f.decoder = decode.New()
	}
	return f.decoder.Decode(payload, &f.state) == state.Accepted
}

// find returns where the values of engine_id, with its quotes, and of timestamp_ms stand, or false if the payload is no
// state.
func (f *fields) find(payload []byte) (id, timestamp span, ok bool) {
	if !f.isState(payload) {
		return id, timestamp, false
	}
	f.text.Reset()
	f.text.Write(payload)
	f.tokens.Reset(&f.text, jsontext.AllowDuplicateNames(true)) // of fields that no gateway knows
	if _, err := f.tokens.ReadToken(); err != nil {
		return id, timestamp, false
	}
	for f.tokens.PeekKind() == '"' {
		name, err := f.tokens.ReadToken()
		if err != nil {
			return id, timestamp, false
		}
		field := name.String()
		value, err := f.tokens.ReadValue()
		if err != nil {
			return id, timestamp, false
		}
		end := int(f.tokens.InputOffset())
		switch place := (span{end - len(value), end}); field {
		case "engine_id":
			id = place
		case "timestamp_ms":
			timestamp = place
		}
	}
	return id, timestamp, id.end > 0 && timestamp.end > 0
}
