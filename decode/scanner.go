package decode

import "unicode/utf8"

// maxDepth is the deepest level a value may be at; the datagram's object itself is at level 1.
const maxDepth = 300

// failed is the position that a scanner's method returns where the text is not what the method is named for.
const failed = -1

// scanner reads one datagram as RFC 8259 has JSON, in valid UTF-8. Its methods go past what they are named for, which
// begins at b[i], and return the position after it, or failed. None recurses or allocates; the time is linear in the
// size of b.
type scanner struct {
	b       []byte
	checked bool // b is valid UTF-8 as a whole
	lined   bool // white space other than spaces was skipped: b is on more than one line, or has tabs
}

// space goes past white space, if there is any.
func (s *scanner) space(i int) int {
	for ; i < len(s.b) && isSpace(s.b[i]); i++ {
		if s.b[i] != ' ' {
			s.lined = true
		}
	}
	return i
}

// spaceAt is space for where there mostly is none.
func (s *scanner) spaceAt(i int) int {
	if i < len(s.b) && s.b[i] <= ' ' {
		return s.space(i)
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipSpace goes past white space outside the object, which is not in its lines.
func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// name goes past a member's name, to end, and its colon, to its value. plain is that of text.
func (s *scanner) name(i int) (end, value int, plain bool) {
	b := s.b
	if i >= len(b) || b[i] != '"' {
		return failed, failed, false
	}
	if end, plain = s.text(i); end == failed {
		return failed, failed, false
	}
	if i = s.spaceAt(end); i >= len(b) || b[i] != ':' {
		return failed, failed, false
	}
	return end, s.spaceAt(i + 1), plain
}

// value goes past any value of the datagram's object, which is at level 2.
func (s *scanner) value(i int) int {
	if i >= len(s.b) {
		return failed
	}
	switch s.b[i] {
	case '{', '[':
		return s.container(i)
	case '"':
		i, _ = s.text(i)
	case 't', 'f', 'n':
		i = s.word(i)
	default:
		_, i = s.number(i)
	}
	return i
}

// word goes past true, false or null.
func (s *scanner) word(i int) int {
	rest := s.b[i:]
	switch {
	case len(rest) >= 4 && string(rest[:4]) == "true", len(rest) >= 4 && string(rest[:4]) == "null":
		return i + 4
	case len(rest) >= 5 && string(rest[:5]) == "false":
		return i + 5
	}
	return failed
}

// container goes past an array or object of the datagram's object, whatever is in it.
func (s *scanner) container(i int) int {
	b := s.b
	nest := nesting{depth: 1} // the datagram's object
	end := byte('}')          // what ends the innermost container
	for {
		// A value begins here.
		if uint(i) < uint(len(b)) && b[i] <= ' ' {
			i = s.space(i)
		}
		if uint(i) >= uint(len(b)) {
			return failed
		}
		switch c := b[i]; c {
		case '{', '[':
			nest.push(end)
			end = closing(c)
			if i = s.spaceAt(i + 1); i < len(b) && b[i] == end {
				break // what follows, its end, is seen below
			}
			if nest.depth == maxDepth {
				return failed
			}
			if c == '{' {
				if _, i, _ = s.name(i); i == failed {
					return failed
				}
			}
			continue
		case '"':
			i, _ = s.text(i)
		case 't', 'f', 'n':
			i = s.word(i)
		default:
			_, i = s.number(i)
		}
		if i == failed {
			return failed
		}
		// What follows a value: the ends of containers, or a comma and the next value.
		for {
			if uint(i) < uint(len(b)) && b[i] <= ' ' {
				i = s.space(i)
			}
			if uint(i) >= uint(len(b)) {
				return failed
			}
			c := b[i]
			if i++; c == ',' {
				break
			}
			if c != end {
				return failed
			}
			if end = nest.pop(); nest.depth == 1 {
				return i
			}
		}
		if end == '}' {
			if _, i, _ = s.name(s.spaceAt(i)); i == failed {
				return failed
			}
		}
	}
}

// validUTF8 reports whether the datagram is, and looks only once.
func (s *scanner) validUTF8() bool {
	s.checked = s.checked || utf8.Valid(s.b)
	return s.checked
}

// nesting is a stack of what ends the containers that are open, one bit each.
type nesting struct {
	depth  int
	object [(maxDepth + 63) / 64]uint64
}

// push keeps what ends the container around a new one.
func (n *nesting) push(end byte) {
	word, bit := n.depth/64, n.depth%64
	n.object[word] = n.object[word]&^(1<<bit) | uint64(end>>5&1)<<bit // '}' has that bit, ']' has not
	n.depth++
}

// pop returns what push kept last.
func (n *nesting) pop() (end byte) {
	n.depth--
	return ']' + byte(n.object[n.depth/64]>>(n.depth%64)&1)<<5
}

func closing(open byte) byte { return open + 2 } // '{' → '}', '[' → ']'
