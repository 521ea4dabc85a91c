// Package config holds the gateway's settings: their names, defaults and limits, the reading of their text, and the
// table of them that the README and check-config show.
//
// A setting is defined in two places, both of which the compiler or a test watches: its name, default and meaning are
// tags of [Flags], where kong reads them too; its type and what is allowed is one line in definitions. All else, the
// table included, is made from those. kong decides which text counts (flag, else variable, else default); this package
// decides what it means.
//
// It never reads the environment: it is handed it. Nothing in it is shared or changes, so any goroutine may call it.
package config
