package shard

import (
	"unsafe"

	"github.com/elrar/state-gateway/state"
)

// beside is what an engine takes beside its slot and its ring, in bytes: its id, the rules' rarely used memory, its cells
// in the index, and what the allocator rounds up. TestBytes holds the sum to what is really taken.
const beside = 640

// Bytes returns about how much memory a table takes that is full: MaxEngines engines with their whole history. What the
// collector lets lie comes on top of it.
func (c Config) Bytes() uint64 {
	ring := uint64(max(c.History, state.IntervalRecords)+1) * uint64(unsafe.Sizeof(recordWords{}))
	return uint64(c.MaxEngines) * (uint64(unsafe.Sizeof(slot{})) + ring + beside)
}
