package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// ends are the methods of testing.T that end the test's own goroutine, and on another one end that, at best unseen.
var ends = map[string]bool{"Fatal": true, "Fatalf": true, "FailNow": true, "Skip": true, "Skipf": true, "SkipNow": true}

// testPackage is what a folder's tests declare, by name: of methods, those of all types.
type testPackage struct {
	functions, methods map[string][]*ast.FuncDecl
	ending             map[*ast.FuncDecl]bool // may end the test; absent: not looked at yet
}

// mayEnd returns the name of what a call does that may end the test, or "".
func (p *testPackage) mayEnd(call *ast.CallExpr) string {
	var name string
	var called []*ast.FuncDecl
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name, called = f.Name, p.functions[f.Name]
	case *ast.SelectorExpr:
		name = f.Sel.Name
		if x, ok := f.X.(*ast.Ident); ok && x.Name == "needs" || ends[name] {
			return name
		} else if !ok || x.Obj != nil { // no imported package's
			called = p.methods[name]
		}
	}
	for _, f := range called {
		if _, known := p.ending[f]; !known {
			p.ending[f] = false // a recursion adds nothing
			p.ending[f] = p.endsIn(f.Body, func(token.Pos, string) {})
		}
		if p.ending[f] {
			return name
		}
	}
	return ""
}

// endsIn reports whether there is a call in a body that may end the test, and each to found.
func (p *testPackage) endsIn(body ast.Node, found func(token.Pos, string)) (any bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if name := p.mayEnd(call); name != "" {
				any = true
				found(call.Pos(), name)
			}
		}
		return true
	})
	return any
}

// elsewhere returns what a statement or call runs on another goroutine.
func elsewhere(n ast.Node) (bodies []ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		if literal, ok := n.Call.Fun.(*ast.FuncLit); ok {
			return []ast.Node{literal.Body}
		}
		return []ast.Node{n.Call}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Go" || f.Sel.Name == "AfterFunc" || f.Sel.Name == "HandlerFunc") {
			for _, argument := range n.Args {
				if literal, ok := argument.(*ast.FuncLit); ok {
					bodies = append(bodies, literal.Body)
				}
			}
		}
	}
	return bodies
}

// parseTests parses the project's tests, by folder.
func parseTests(t *testing.T) (set *token.FileSet, files map[string][]*ast.File) {
	t.Helper()
	set, files = token.NewFileSet(), map[string][]*ast.File{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(set, path, nil, 0)
		files[filepath.Dir(path)] = append(files[filepath.Dir(path)], f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return set, files
}

// A test ends on its own goroutine: elsewhere nothing may fail it for good or skip it, however many calls away. There it
// notes an error, or hands it over. (vet's testinggoroutine sees the call itself only.)
func TestEndsOnItsOwnGoroutine(t *testing.T) {
	set, files := parseTests(t)
	goroutines := 0
	for _, folder := range files {
		p := &testPackage{map[string][]*ast.FuncDecl{}, map[string][]*ast.FuncDecl{}, map[*ast.FuncDecl]bool{}}
		for _, f := range folder {
			for _, d := range f.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
					if d.Recv == nil {
						p.functions[d.Name.Name] = append(p.functions[d.Name.Name], d)
					} else {
						p.methods[d.Name.Name] = append(p.methods[d.Name.Name], d)
					}
				}
			}
		}
		for _, f := range folder {
			ast.Inspect(f, func(n ast.Node) bool {
				for _, body := range elsewhere(n) {
					goroutines++
					p.endsIn(body, func(at token.Pos, name string) {
						t.Errorf("%s: %s may end the test, and this is another goroutine", set.Position(at), name)
					})
				}
				return true
			})
		}
	}
	if goroutines < 50 {
		t.Errorf("only %d goroutines are started in the tests: the check looks in the wrong place", goroutines)
	}
}

// A test that is skipped says why.
func TestSkipsSayWhy(t *testing.T) {
	set, files := parseTests(t)
	skips := 0
	for _, folder := range files {
		for _, f := range folder {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Skip" || f.Sel.Name == "Skipf" || f.Sel.Name == "SkipNow") {
					if skips++; len(call.Args) == 0 {
						t.Errorf("%s: no reason", set.Position(call.Pos()))
					}
				}
				return true
			})
		}
	}
	if skips < 20 {
		t.Errorf("only %d skips: the check looks in the wrong place", skips)
	}
}
