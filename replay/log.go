package replay

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxPayload is the longest payload of a UDP datagram over IPv4: 65,535 bytes less the two headers' 20 and 8.
const maxPayload = 65_507

// maxLine is the longest line that is read, its end included: the longest payload, and as much again as other writers'
// white space and further fields may take.
const maxLine = 2 * maxPayload

// logReader reads a state log: lines {"timestamp": 1755532567.502843, "state": {…}}. The datagram is the state's own
// bytes, and its time the timestamp.
type logReader struct {
	from *bufio.Reader // of at least maxLine bytes

	line    bytes.Reader // what decoder reads
	decoder *jsontext.Decoder
}

func newLogReader(from *bufio.Reader) *logReader {
	r := &logReader{from: from}
	r.decoder = jsontext.NewDecoder(&r.line)
	return r
}

func (r *logReader) next() (Datagram, skip, error) {
	line, err := r.from.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.from.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return Datagram{}, taken, err
		}
		return Datagram{}, skipLongLine, nil
	case len(line) == 0 || err != nil && err != io.EOF:
		return Datagram{}, taken, err
	case len(line) > maxLine:
		return Datagram{}, skipLongLine, nil
	}
	at, payload, ok := r.split(line)
	switch {
	case !ok && err == io.EOF:
		return Datagram{}, skipTornLine, nil
	case !ok:
		return Datagram{}, skipNotLogLine, nil
	case len(payload) > maxPayload:
		return Datagram{Time: at}, skipLongLine, nil
	}
	return Datagram{Time: at, Payload: payload}, taken, nil
}

// split takes a line apart that is a JSON object with a timestamp and a state, in any order, spacing and company.
func (r *logReader) split(line []byte) (at time.Time, payload []byte, ok bool) {
	r.line.Reset(line)
	r.decoder.Reset(&r.line, jsontext.AllowDuplicateNames(true))
	if token, err := r.decoder.ReadToken(); err != nil || token.Kind() != '{' {
		return at, nil, false
	}
	timestamps := 0
	for r.decoder.PeekKind() == '"' {
		token, err := r.decoder.ReadToken()
		if err != nil {
			return at, nil, false
		}
		name := token.String()
		value, err := r.decoder.ReadValue()
		switch {
		case err != nil:
			return at, nil, false
		case name == "timestamp":
			timestamps++
			if at, ok = seconds(value); !ok {
				return at, nil, false
			}
		case name == "state":
			if payload != nil || value.Kind() != '{' {
				return at, nil, false
			}
			end := int(r.decoder.InputOffset())
			payload = line[end-len(value) : end]
		}
	}
	if token, err := r.decoder.ReadToken(); err != nil || token.Kind() != '}' {
		return at, nil, false
	}
	_, err := r.decoder.ReadToken()
	return at, payload, err == io.EOF && timestamps == 1 && payload != nil
}

// maxSeconds is the last second, in Unix time, of which every nanosecond is an int64: in the year 2262.
const maxSeconds = math.MaxInt64/int64(time.Second) - 1

// seconds returns the time that is so many seconds after 1970, a JSON number.
func seconds(number []byte) (time.Time, bool) {
	if at, ok := plainSeconds(number); ok {
		return at, true
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f < 0 || f > float64(maxSeconds) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true
}

// plainSeconds is seconds for a number of digits with a decimal point at most. Digits behind the ninth are cut off.
func plainSeconds(number []byte) (time.Time, bool) {
	whole, fraction, point := bytes.Cut(number, []byte("."))
	if len(whole) == 0 || len(whole) > 10 || whole[0] == '0' && len(whole) > 1 || point && len(fraction) == 0 {
		return time.Time{}, false
	}
	var s, ns int64
	for _, c := range whole {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		s = s*10 + int64(c-'0')
	}
	unit := int64(time.Second)
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		unit /= 10
		ns += int64(c-'0') * unit
	}
	return time.Unix(s, ns).UTC(), s <= maxSeconds
}
