// Package gateway composes the rooms into a running gateway: sockets (engine), bytes to states (decode), the table of
// the newest (shard) and the state log (journal); and it knows the order in which they start and stop.
//
// A datagram goes through pipeline.HandleBatch on the goroutine of the reader that read it. Everything else here runs
// beside that path: statistics, the removal of silent engines, notices about what was rejected.
//
// Offline is the same pipeline without sockets, for captured datagrams on their own clock.
package gateway
