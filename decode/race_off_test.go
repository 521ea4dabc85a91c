//go:build !race

package decode_test

// raceEnabled says that the race detector is on, under which everything takes several times as long.
const raceEnabled = false
