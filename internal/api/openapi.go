package api

import (
	"bytes"
	_ "embed"
	"net/url"
)

// description is the OpenAPI description of everything here; a test holds it to the answers.
//
//go:embed openapi.json
var description []byte

func (a *api) renderOpenAPI(dst []byte, _ url.Values) ([]byte, *problem) {
	return append(dst, bytes.TrimSuffix(description, []byte{'\n'})...), nil
}
