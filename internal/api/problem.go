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
}

// problemf returns a problem. Text from outside goes through %q.
func problemf(status int, format string, args ...any) *problem {
	return &problem{status: status, detail: fmt.Sprintf(format, args...)}
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
	writeBody(w, "application/problem+json", p.status, append(o.dst, '\n'))
}
