package api

import (
	"math"
	"strconv"

	"github.com/elrar/state-gateway/state"
)

// object appends one JSON object, or several inside each other, to dst, in the spacing of the wire. Names are ASCII
// and need no escapes; texts must be valid UTF-8. Nothing is checked: whoever opens an object closes it.
type object struct{ dst []byte }

func (o *object) open()  { o.dst = append(o.dst, '{') }
func (o *object) close() { o.dst = append(o.dst, '}') }

// name begins a member; its value is to be appended next.
func (o *object) name(name string) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ", "...)
	}
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	o.dst = append(o.dst, `": `...)
}

func (o *object) text(name, value string) {
	o.name(name)
	o.dst = state.AppendString(o.dst, value)
}

func (o *object) integer(name string, value int64) {
	o.name(name)
	o.dst = strconv.AppendInt(o.dst, value, 10)
}

func (o *object) count(name string, value uint64) {
	o.name(name)
	o.dst = strconv.AppendUint(o.dst, value, 10)
}

func (o *object) truth(name string, value bool) {
	o.name(name)
	o.dst = strconv.AppendBool(o.dst, value)
}

func (o *object) null(name string) {
	o.name(name)
	o.dst = append(o.dst, "null"...)
}

// decimal appends a number with three decimals: ms down to the µs, seconds down to the ms. What is not a finite
// number is not known, and null.
func (o *object) decimal(name string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		o.null(name)
		return
	}
	o.name(name)
	o.dst = strconv.AppendFloat(o.dst, value, 'f', 3, 64)
}
