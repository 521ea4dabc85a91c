package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Unknown is an environment variable that has the prefix and is neither a setting nor a client's.
type Unknown struct {
	Name    string
	Nearest string // the known variable that is spelt most like it
}

// String returns one line, whatever the name was.
func (u Unknown) String() string {
	return fmt.Sprintf("unknown setting %s; the nearest known name is %s", quoted(u.Name), u.Nearest)
}

// UnknownNames returns the unknown variables of environ, which has the form of os.Environ, sorted by name.
// Empty ones count as unset.
func UnknownNames(environ []string) []Unknown {
	known := slices.Clone(clientVariables)
	for _, d := range definitions(&Settings{}) {
		known = append(known, d.variable)
	}
	var unknown []Unknown
	for name, value := range prefixed(environ) {
		if strings.TrimSpace(value) == "" || slices.Contains(known, name) {
			continue
		}
		unknown = append(unknown, Unknown{name, nearest(name, known)})
	}
	slices.SortFunc(unknown, func(a, b Unknown) int { return cmp.Compare(a.Name, b.Name) })
	return unknown
}

// EmptyVariables returns the names in environ, which has the form of os.Environ, that have the prefix and an empty
// value. They count as unset, which kong does not know: unset them before it parses.
func EmptyVariables(environ []string) []string {
	var empty []string
	for name, value := range prefixed(environ) {
		if strings.TrimSpace(value) == "" {
			empty = append(empty, name)
		}
	}
	return empty
}

// prefixed returns the variables of environ whose names begin with Prefix.
func prefixed(environ []string) map[string]string {
	variables := map[string]string{}
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, Prefix) {
			variables[name] = value
		}
	}
	return variables
}

func nearest(name string, known []string) string {
	best, least := "", math.MaxInt
	for _, other := range known {
		if distance := levenshtein.ComputeDistance(name, other); distance < least {
			best, least = other, distance
		}
	}
	return best
}
