package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the settings table into the README")

// TestREADME holds the table in the README to the definitions; go test ./internal/config -update rewrites it.
func TestREADME(t *testing.T) {
	const (
		file  = "../../README.md"
		begin = "<!-- settings:begin -->\n"
		end   = "<!-- settings:end -->"
	)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the marks %q and %q around the table", file, begin, end)
	}
	if want := "\n" + Table() + "\n"; table != want {
		if !*update {
			t.Fatalf("the table in %s is not that of the definitions; go test ./internal/config -update rewrites it", file)
		}
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTable(t *testing.T) {
	const line = "| `VLLM_STATE_GATEWAY_UDP_PORT` | `--udp-port` | `9999` | an integer from 0 to 65535 |"
	if table := Table(); !strings.Contains(table, line) || strings.Count(table, "\n") != 2+len(definitions(&Settings{})) {
		t.Error(table)
	}
}
