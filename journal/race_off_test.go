//go:build !race

package journal

// raceEnabled says that the race detector is on, under which everything takes several times as long.
const raceEnabled = false
