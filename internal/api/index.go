package api

import (
	"net/url"

	"github.com/elrar/state-gateway/state"
)

// renderIndex appends the list of the endpoints: path → the query parameters it knows.
func (a *api) renderIndex(dst []byte, _ url.Values) ([]byte, *problem) {
	o := object{dst}
	o.open()
	o.text("version", a.info.Version)
	o.name("endpoints")
	o.open()
	for _, e := range a.index {
		o.name(e.path)
		o.dst = append(o.dst, '[')
		for i, param := range e.params {
			if i > 0 {
				o.dst = append(o.dst, ", "...)
			}
			o.dst = state.AppendString(o.dst, param)
		}
		o.dst = append(o.dst, ']')
	}
	o.close()
	o.close()
	return o.dst, nil
}
