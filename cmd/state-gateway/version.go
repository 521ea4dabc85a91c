package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Stamped by the build: -ldflags "-X main.version=1.2.3 -X main.revision=0123abc". Read them through build.
var version, revision string

type versionCommand struct{}

// Run prints one line.
func (*versionCommand) Run() error {
	_, err := fmt.Println(versionLine())
	return err
}

// versionLine returns what there is to say of this binary.
func versionLine() string {
	v, r := build()
	return fmt.Sprintf("state-gateway %s (%s, %s, %s/%s)", v, r, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// build returns the version and the source revision of this binary: as stamped, else as the go command recorded them,
// else "devel" and "unknown".
func build() (string, string) {
	v, r := version, revision
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
		for _, setting := range info.Settings {
			if r == "" && setting.Key == "vcs.revision" {
				r = setting.Value
			}
		}
	}
	if v == "" {
		v = "devel"
	}
	if r == "" {
		r = "unknown"
	}
	return v, r
}
