package api

import (
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	a := newTestAPI(newFakeTable())
	for _, e := range append(pageEndpoints(), endpoint{path: "/", asset: pageFile("index.html")}) {
		w := get(t, a, e.path)
		h := w.Header()
		if w.Code != 200 || w.Body.Len() == 0 || h.Get("Content-Type") != pageTypes[path.Ext(e.path)] && e.path != "/" {
			t.Errorf("%s: %d, %d bytes of %q", e.path, w.Code, w.Body.Len(), h.Get("Content-Type"))
		}
		if h.Get("Content-Security-Policy") != pagePolicy || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", e.path, h)
		}

		again := httptest.NewRequest(http.MethodGet, e.path, nil)
		again.Header.Set("If-None-Match", h.Get("ETag"))
		kept := httptest.NewRecorder()
		a.ServeHTTP(kept, again)
		if h.Get("ETag") == "" || kept.Code != http.StatusNotModified || kept.Body.Len() != 0 {
			t.Errorf("%s with its ETag %q: %d, %d bytes", e.path, h.Get("ETag"), kept.Code, kept.Body.Len())
		}
		wantProblem(t, do(t, a, http.MethodPost, e.path), http.StatusMethodNotAllowed, `"POST" is not a method of this endpoint; GET and HEAD are`)
	}
	wantProblem(t, get(t, a, "/page/"), http.StatusNotFound, `nothing is at "/page/"; /openapi.json describes what there is`)
	wantProblem(t, get(t, a, "/page/index.html"), http.StatusNotFound, `nothing is at "/page/index.html"; /openapi.json describes what there is`)
}

// pageText returns a file of the page.
func pageText(t *testing.T, name string) string {
	t.Helper()
	text, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the page loads is there, is its own, and everything that is there is used. Nothing of it makes markup of text.
func TestPageFiles(t *testing.T) {
	used := map[string]bool{"index.html": true}
	reference := regexp.MustCompile(`(?:src|href)="page/([^"]+)"|from "\./([^"]+)"`)
	markup := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML|https?://\w`)
	entries, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text := pageText(t, entry.Name())
		for _, match := range reference.FindAllStringSubmatch(text, -1) {
			used[match[1]+match[2]] = true
		}
		if found := markup.FindString(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")); found != "" {
			t.Errorf("%s has %q", entry.Name(), found)
		}
		if !strings.Contains(pageTypes[path.Ext(entry.Name())], "/") {
			t.Errorf("%s has no type", entry.Name())
		}
	}
	for _, entry := range entries {
		if !used[entry.Name()] {
			t.Errorf("%s is not used", entry.Name())
		}
		delete(used, entry.Name())
	}
	for name := range used {
		t.Errorf("%s is not there", name)
	}
}

// Every word is there in both languages, with the same places to be filled in; every word that is asked for is there, and
// no other.
func TestPageWords(t *testing.T) {
	line := regexp.MustCompile(`(?m)^  (\w+): \["([^"]+)", "([^"]+)"\],$`)
	entry := regexp.MustCompile(`(?m)^  \w+: `)
	place := regexp.MustCompile(`\{\w+\}`)
	text := pageText(t, "words.js")
	table := text[:strings.Index(text, "\n};")]
	words := map[string]bool{}
	for _, match := range line.FindAllStringSubmatch(table, -1) {
		places := func(s string) []string { return slices.Sorted(slices.Values(place.FindAllString(s, -1))) }
		if !slices.Equal(places(match[2]), places(match[3])) {
			t.Errorf("%s: %q and %q", match[1], match[2], match[3])
		}
		if words[match[1]] {
			t.Errorf("%s is there twice", match[1])
		}
		words[match[1]] = false
	}
	if n := len(entry.FindAllString(table, -1)); n != len(words) || n == 0 {
		t.Errorf("%d of %d lines have a word in two languages", len(words), n)
	}

	asked := regexp.MustCompile(`\bt\((?:\w+[^"()]*\? )?"(\w+)"|data-t(?:-\w+)?="(\w+)"`)
	entries, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range entries {
		text := pageText(t, file.Name())
		for _, match := range asked.FindAllStringSubmatch(text, -1) {
			if _, ok := words[match[1]+match[2]]; !ok {
				t.Errorf("%s asks for %s%s", file.Name(), match[1], match[2])
			}
		}
		if file.Name() != "words.js" {
			all.WriteString(text)
		}
	}
	all.WriteString(text[len(table):])
	for word := range words {
		if !strings.Contains(all.String(), `"`+word+`"`) && !strings.Contains(all.String(), `"`+strings.TrimSuffix(word, "Unit")+`"`) {
			t.Errorf("nobody asks for %s", word)
		}
	}
}
