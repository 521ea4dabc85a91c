// Package shard is the table of the newest states: lock-free, hashed by engine_id, with each engine's history.
//
// Any number of goroutines may write and read at once. A write finds its engine without a lock and takes that engine's
// slot by a compare-and-swap, so that only writers of the same engine ever wait for each other. A read never writes:
// not a lock, not a reference count. It never returns a torn state and never holds up a writer. Only a new engine's
// insertion and the removal of silent ones take a lock, of one shard of 64.
//
// The rules of what a state does to what is held are package state's; this package applies them atomically.
package shard
