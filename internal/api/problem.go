package api

import (
	"fmt"
	"net/http"
	"strings"
)

// problem is an error as RFC 9457 shows it, of the type about:blank: the status says what kind it is, and the detail,
// a sentence for people, what is wrong in this case.
type problem struct {
	status int
	detail string
	later  bool // the same request may succeed in a second
}

// problemf returns a problem. Text from outside goes through %q.
func problemf(status int, format string, args ...any) *problem {
	return &problem{status: status, detail: fmt.Sprintf(format, args...)}
}

// laterf returns a problem that passes: the client is told to try again in a second.
func laterf(status int, format string, args ...any) *problem {
	p := problemf(status, format, args...)
	p.later = true
	return p
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	o := object{make([]byte, 0, 256)}
	o.open()
	o.text("type", "about:blank")
	o.text("title", http.StatusText(p.status))
	o.integer("status", int64(p.status))
	o.text("detail", strings.ToValidUTF8(p.detail, "\uFFFD"))
	o.close()
	if p.later {
		w.Header().Set("Retry-After", "1")
	}
	writeBody(w, "application/problem+json", p.status, append(o.dst, '\n'))
}
