package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A kind reads and writes one setting's place in a Settings.
type kind interface {
	// set reads text, which has no white space around it. It returns false, and changes nothing, if text is not allowed.
	set(text string) bool
	// text returns the value in the form that set takes.
	text() string
	// allowed says what set takes.
	allowed() string
}

// number is a kind for integers in a unit, from least to most of that unit.
type number[T ~int | ~int64 | ~uint16] struct {
	to          *T
	least, most T
	unit        T
	unitName    string
}

func integer[T ~int | ~uint16](to *T, least, most T) number[T] {
	return number[T]{to, least, most, 1, ""}
}

func milliseconds(to *time.Duration, least, most time.Duration) number[time.Duration] {
	return number[time.Duration]{to, least / time.Millisecond, most / time.Millisecond, time.Millisecond, " (milliseconds)"}
}

func (n number[T]) set(text string) bool {
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil || i < int64(n.least) || i > int64(n.most) {
		return false
	}
	*n.to = T(i) * n.unit
	return true
}

func (n number[T]) text() string { return strconv.FormatInt(int64(*n.to/n.unit), 10) }

func (n number[T]) allowed() string {
	return fmt.Sprintf("an integer from %d to %d%s", int64(n.least), int64(n.most), n.unitName)
}

// size is a kind for numbers of bytes.
type size struct {
	to          *int
	least, most int
}

// sizeUnits are tried in this order: the largest that divides a size writes it.
var sizeUnits = []struct {
	name  string
	bytes int
}{{"GiB", gib}, {"MiB", mib}, {"KiB", kib}}

func (s size) set(text string) bool {
	bytes := 1
	for _, u := range sizeUnits {
		if head := len(text) - len(u.name); head >= 0 && strings.EqualFold(text[head:], u.name) {
			text, bytes = strings.TrimSpace(text[:head]), u.bytes
			break
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > s.most/bytes || n*bytes < s.least {
		return false
	}
	*s.to = n * bytes
	return true
}

func (s size) text() string { return sizeText(*s.to) }

func (s size) allowed() string {
	return fmt.Sprintf("bytes, or a number with KiB, MiB or GiB, from %s to %s", sizeText(s.least), sizeText(s.most))
}

// sizeOrOff is a size that may be 0, however large the least one is.
type sizeOrOff struct{ size }

func (s sizeOrOff) set(text string) bool {
	if text == "0" {
		*s.to = 0
		return true
	}
	return s.size.set(text)
}

func (s sizeOrOff) allowed() string { return "0, or " + s.size.allowed() }

// permissions is a kind for what a file's owner, group and others may do, in octal. The gateway is the owner.
type permissions struct{ to *os.FileMode }

const ownersLeast = 0o600

func (p permissions) set(text string) bool {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 || n&ownersLeast != ownersLeast {
		return false
	}
	*p.to = os.FileMode(n)
	return true
}

func (p permissions) text() string { return strconv.FormatUint(uint64(*p.to), 8) }

func (p permissions) allowed() string {
	return "an octal number from 600 to 777 that lets the owner read and write"
}

func sizeText(n int) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d %s", n/u.bytes, u.name)
		}
	}
	return strconv.Itoa(n)
}

// choice is a kind for a few words, in any case. Several may stand for one value; the first of them writes it.
type choice[T comparable] struct {
	to      *T
	options []option[T]
}

type option[T any] struct {
	word  string
	value T
}

func boolean(to *bool) choice[bool] {
	return choice[bool]{to, []option[bool]{{"true", true}, {"false", false}, {"1", true}, {"0", false},
		{"yes", true}, {"no", false}, {"on", true}, {"off", false}}}
}

func (c choice[T]) set(text string) bool {
	for _, o := range c.options {
		if strings.EqualFold(text, o.word) {
			*c.to = o.value
			return true
		}
	}
	return false
}

func (c choice[T]) text() string {
	for _, o := range c.options {
		if o.value == *c.to {
			return o.word
		}
	}
	return ""
}

func (c choice[T]) allowed() string {
	var words []string
	for _, o := range c.options {
		words = append(words, o.word)
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// path is a kind for the name of a file.
type path struct{ to *string }

func (p path) set(text string) bool {
	if text == "" || strings.ContainsRune(text, 0) {
		return false
	}
	*p.to = text
	return true
}

func (p path) text() string    { return *p.to }
func (p path) allowed() string { return "a path" }
