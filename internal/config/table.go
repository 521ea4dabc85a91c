package config

import (
	"fmt"
	"strings"
)

// Table returns every setting as a Markdown table, ending in a newline.
func Table() string {
	var b strings.Builder
	b.WriteString("| variable | flag | default | allowed | meaning |\n|---|---|---|---|---|\n")
	for _, d := range definitions(&Settings{}) {
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", d.variable, d.flag, d.preset, d.kind.allowed(), d.meaning)
	}
	return b.String()
}
