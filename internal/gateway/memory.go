package gateway

import (
	"github.com/elrar/state-gateway/internal/config"
	"github.com/elrar/state-gateway/journal"
	"github.com/elrar/state-gateway/shard"
)

// program is what the process takes without an engine and without a reader: the program itself, its runtime, and answers
// on their way to HTTP clients.
const program = 24 << 20

// Memory returns about how much memory a gateway with these settings takes when everything is full, in bytes: the table,
// the queues of a log whose disk has stalled, and the receive buffers, which the kernel counts double and which count for
// the control group.
func Memory(s config.Settings) uint64 {
	perSocket := 2*uint64(s.ReceiveBuffer) + uint64(s.BatchSize)*uint64(s.MaxDatagram)
	if s.EnableLog {
		perSocket += journal.QueueMemory
	}
	return program + TableMemory(s) + uint64(s.Workers)*perSocket
}

// TableMemory returns about how much memory the full table of a gateway with these settings takes, in bytes.
func TableMemory(s config.Settings) uint64 {
	return shard.Config{MaxEngines: s.MaxEngines, History: s.History}.Bytes()
}
