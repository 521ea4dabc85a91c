package decode

import "unicode/utf8"

// maxDepth is the deepest level a value may be at; the object itself is at level 1. It is fastjson's own limit.
const maxDepth = 300

// valid reports whether b is one JSON object as RFC 8259 has it, in valid UTF-8, with white space around it at most:
// the grammar of numbers, no raw control characters in strings, no bad escapes or unpaired surrogates, no value deeper
// than maxDepth. It neither recurses nor allocates, and its time is linear in the size of b.
func valid(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	var nest nesting
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return false
	}
	for i < len(b) {
		if nest.depth == maxDepth {
			return false
		}
		ended := true // the value that begins at b[i] is not an open container
		switch c := b[i]; c {
		case '{', '[':
			nest.push(c == '{')
			i = skipSpace(b, i+1)
			if i == len(b) {
				return false
			}
			ended = b[i] == closing(c)
			if !ended && c == '{' {
				i = scanName(b, i)
			}
		case '"':
			i = scanString(b, i)
		case 't':
			i = scanWord(b, i, "true")
		case 'f':
			i = scanWord(b, i, "false")
		case 'n':
			i = scanWord(b, i, "null")
		default:
			i = scanNumber(b, i)
		}
		if i < 0 {
			return false
		}
		if !ended {
			continue
		}
		// What follows a value: the end of its containers, or a comma and the next value.
		for {
			if i = skipSpace(b, i); i == len(b) {
				return false
			}
			if b[i] != ',' {
				if b[i] != closing(nest.top()) {
					return false
				}
				i++
				if nest.pop(); nest.depth == 0 {
					return skipSpace(b, i) == len(b)
				}
				continue
			}
			i = skipSpace(b, i+1)
			if nest.top() == '{' {
				i = scanName(b, i)
			}
			if i < 0 {
				return false
			}
			break
		}
	}
	return false
}

// nesting is a stack of the containers that are open: one bit each.
type nesting struct {
	depth  int
	object [(maxDepth + 63) / 64]uint64
}

func (n *nesting) push(object bool) {
	word, bit := n.depth/64, uint64(1)<<(n.depth%64)
	if object {
		n.object[word] |= bit
	} else {
		n.object[word] &^= bit
	}
	n.depth++
}

func (n *nesting) pop() { n.depth-- }

// top returns the opening character of the innermost container.
func (n *nesting) top() byte {
	if d := n.depth - 1; n.object[d/64]>>(d%64)&1 != 0 {
		return '{'
	}
	return '['
}

func closing(open byte) byte { return open + 2 } // '{' → '}', '[' → ']'

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipSpace returns the position of the first character from i on that is not white space, or len(b).
func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// The scanners return the position after what they scan at b[i], or -1 if it is not there.

// scanName scans a member's name and colon, and the white space around the colon.
func scanName(b []byte, i int) int {
	if i == len(b) || b[i] != '"' {
		return -1
	}
	if i = scanString(b, i); i < 0 {
		return -1
	}
	if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return skipSpace(b, i+1)
}

func scanString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i = scanEscape(b, i); i < 0 {
				return -1
			}
		}
	}
	return -1
}

// scanEscape scans an escape sequence, a whole pair of them for a surrogate, and returns the position of its last byte.
func scanEscape(b []byte, i int) int {
	if i+1 >= len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
	default:
		return -1
	}
	switch r := unicodeEscape(b, i); {
	case r < 0 || r >= 0xDC00 && r <= 0xDFFF:
		return -1
	case r >= 0xD800 && r <= 0xDBFF:
		if low := unicodeEscape(b, i+6); low < 0xDC00 || low > 0xDFFF {
			return -1
		}
		return i + 11
	}
	return i + 5
}

// unicodeEscape returns the value of \uXXXX at b[i], or -1 if that is not there.
func unicodeEscape(b []byte, i int) int {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	r := 0
	for _, c := range b[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | int(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | int(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | int(c-'A'+10)
		default:
			return -1
		}
	}
	return r
}

func scanWord(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return -1
}

func scanNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	switch {
	case i == len(b):
		return -1
	case b[i] == '0':
		i++
	default:
		if i = scanDigits(b, i); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i] == '.' {
		if i = scanDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return scanDigits(b, i)
	}
	return i
}

// scanDigits scans one digit or more.
func scanDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
