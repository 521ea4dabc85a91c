package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"path"
	"time"
)

// pageFiles is the page that people look at, and all that it is made of.
//
//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load its own files and ask this gateway, and nothing else: no inline script or style, nothing
// from elsewhere, no place in another page's frame, and no text that becomes markup.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// asset is one file of the page. It is not changed any more.
type asset struct {
	kind string // Content-Type
	body []byte
	etag string
}

// pageTypes are the files that a page is made of. They do not depend on the machine, as those of package mime do.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pageFile returns a file of the page.
func pageFile(name string) *asset {
	body, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it was compiled in
	}
	sum := sha256.Sum256(body)
	return &asset{kind: pageTypes[path.Ext(name)], body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// pageEndpoints returns the files that the page at / is made of. They are its own affair: nobody else should ask for them.
func pageEndpoints() []endpoint {
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		panic(err) // it was compiled in
	}
	var endpoints []endpoint
	for _, file := range files {
		if name := file.Name(); name != "index.html" {
			endpoints = append(endpoints, endpoint{path: "/page/" + name, name: "page", asset: pageFile(name)})
		}
	}
	return endpoints
}

// serve answers with the file, or says that the browser's copy is still good.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // to be kept, and asked for: another version may run here by then
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}
