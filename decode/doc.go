// Package decode turns a datagram's bytes into a state.State, or into the reason for refusing it.
//
// It is as strict as RFC 8259 and the protocol ask, which fastjson alone is not: it accepts malformed numbers, raw
// control characters and bad escapes, and its floats can be wrong in the last bit when they have an exponent. So valid
// reads the text first, fastjson then only takes apart what is known to be well-formed, and strconv makes the floats.
//
// Most datagrams never get there: usual takes the shape that nearly all senders send in one pass, several times as fast,
// and leaves everything else, valid or not, to the general way.
//
// A Decoder belongs to one goroutine. A valid datagram of up to 1024 bytes costs no allocation once the decoder has
// seen one like it.
package decode
