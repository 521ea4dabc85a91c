// Package decode turns a datagram's bytes into a state.State, or into the reason for refusing it.
//
// One scanner goes over the datagram once, as strict as RFC 8259 and the protocol ask. It takes the fields in any order,
// goes past the values of unknown names, which must be valid, and keeps on after a fault, since a later one can count
// before it. The rest is in a file each: names (field.go), strings, numbers, floats, and what the log gets (owntext.go).
//
// fastjson decodes the strings that have escapes, once they are known to be well-formed: by itself it accepts malformed
// numbers, raw control characters and bad escapes. strconv makes the floats that are not one division away, as far as it
// is fast; where it is not, midpoint.go decides.
//
// The time is linear in the datagram's size, whatever is in it, and nothing is allocated, once a decoder's memory for
// escapes and for lines without unknown members has grown to the size of a datagram.
//
// A Decoder belongs to one goroutine.
package decode
