package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestDefinitions holds the tags of Flags and the kinds together, and kong's names to ours.
func TestDefinitions(t *testing.T) {
	var grammar struct{ Flags }
	parser, err := kong.New(&grammar)
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{} // by kong's name of the flag
	for _, flag := range parser.Model.Flags {
		if len(flag.Envs) == 1 {
			variables[flag.Name] = flag.Envs[0]
		}
	}
	all := definitions(&Settings{})
	if fields := reflect.TypeFor[Settings]().NumField(); len(all) != fields {
		t.Errorf("%d flags for %d settings", len(all), fields)
	}
	for _, d := range all {
		if variables[d.flag] != d.variable || !strings.HasPrefix(d.variable, Prefix) {
			t.Errorf("kong has %q for --%s, not %q", variables[d.flag], d.flag, d.variable)
		}
		if d.kind == nil || d.preset == "" || d.meaning == "" {
			t.Errorf("%s lacks a kind, a default or a meaning", d.variable)
		}
		if strings.ContainsAny(d.preset+d.meaning+d.kind.allowed(), "|\n") {
			t.Errorf("%s would break the table", d.variable)
		}
	}
}
