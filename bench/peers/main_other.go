//go:build !linux

// Command peers measures other programs beside the gateway by what Linux counts: it runs there only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "peers: runs on Linux only")
	os.Exit(1)
}
