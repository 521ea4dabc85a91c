package main

import "github.com/elrar/state-gateway/replay"

// input is an opened capture with the changes that the command line asks for.
type input struct {
	stream replay.Source
}
