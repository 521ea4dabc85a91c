package journal

import "strconv"

// prefix renders what a line begins with. It keeps the last one: most lines of a batch have one arrival, and most batches are
// of the same second.
type prefix struct {
	text    []byte
	arrival int64 // that text is of
	second  int64 // that text is of
}

// maxPrefix is the length of the longest prefix: Unix ns of 64 bits are seconds of at most 11 bytes.
const maxPrefix = len(`{"timestamp": `) + 11 + len(`.000000`) + len(`, "state": `)

// at returns the prefix of an arrival, Unix ns; one before 1970 counts as 0. It is valid until the next call.
func (p *prefix) at(arrival int64) []byte {
	if arrival == p.arrival && p.text != nil {
		return p.text
	}
	p.arrival = arrival
	micros := max(arrival, 0) / 1e3
	if second := micros / 1e6; second != p.second || p.text == nil {
		p.second = second
		p.text = append(p.text[:0], `{"timestamp": `...)
		p.text = strconv.AppendInt(p.text, second, 10)
		p.text = append(p.text, `.000000, "state": `...)
	}
	fraction := p.text[len(p.text)-len(`000000, "state": `):]
	rest := uint32(micros % 1e6)
	for i := 5; i >= 0; i-- {
		fraction[i] = byte('0' + rest%10)
		rest /= 10
	}
	return p.text
}
