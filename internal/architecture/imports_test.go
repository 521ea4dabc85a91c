package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/elrar/state-gateway/"

// mayImport lists every package of the project with the others of the project that it may import. A package that is
// not listed may not be there: whoever adds one decides here where it stands. There are no cycles, as Go has none.
var mayImport = map[string][]string{
	"state":                 {},
	"internal/mmsg":         {},
	"internal/architecture": {},
	"internal/acceptance":   {},
	"engine":                {"internal/mmsg"},
	"decode":                {"state"},
	"shard":                 {"state"},
	"journal":               {"state"},
	"internal/config":       {},
	"internal/gateway":      {"engine", "decode", "shard", "journal", "state", "internal/config"},
	"internal/api":          {"state", "internal/gateway"},
	"internal/doctor":       {"journal", "internal/config", "internal/gateway"},
	"internal/disorder":     {},
	"internal/traffic":      {"state", "internal/mmsg", "internal/disorder"},
	"internal/needs":        {},
	"replay":                {"decode", "state", "internal/config", "internal/disorder", "internal/gateway"},
	"client":                {},
	"internal/top":          {"client"},
	"bench":                 {},
	"deploy":                {},
	"bench/peers":           {"engine", "internal/mmsg", "internal/traffic"},
	"bench/instructions":    {"decode", "shard", "journal", "state", "internal/traffic"},
	"cmd/state-gateway":     {"client", "state", "journal", "internal/config", "internal/gateway", "internal/api", "internal/doctor", "internal/top", "internal/traffic", "replay"},
}

// standardOnly lists the packages that import nothing but the standard library.
var standardOnly = []string{"state"}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		seen[name] = true
		allowed, listed := mayImport[name]
		if !listed {
			t.Errorf("%s is not in the list", name)
		}
		for _, path := range p.Imports {
			own, isOwn := strings.CutPrefix(path, module)
			if isOwn && !slices.Contains(allowed, own) {
				t.Errorf("%s may not import %s", name, own)
			}
			if standard := !strings.Contains(strings.Split(path, "/")[0], "."); !standard && !isOwn && slices.Contains(standardOnly, name) {
				t.Errorf("%s may import the standard library only, not %s", name, path)
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("%s is in the list and not in the project", name)
		}
	}
}
