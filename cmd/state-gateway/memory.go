package main

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/elrar/state-gateway/internal/config"
)

// gcPercent is how much garbage, in percent of what lives, is let lie before it is collected. What lives is the table,
// some 90 MB of 10,000 engines with their history; nothing that receives datagrams makes garbage, so that collecting
// half as much as Go's usual 100 percent costs nothing and saves 45 MB of a small container's memory.
const gcPercent = 50

// fitMemory makes the collector work with the memory that there is. GOGC and GOMEMLIMIT, where they are set, stay.
func fitMemory(s config.Settings, log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var group uint64
	limit, err := memlimit.Set(memlimit.WithRatio(1), memlimit.WithProvider(func() (_ uint64, err error) {
		if group, err = memlimit.FromCgroup(); err != nil {
			return 0, err
		}
		return goShare(group, s.Workers, s.ReceiveBuffer), nil
	}))
	switch {
	case err != nil:
		log.Warn("the control group's memory limit is not known, and the collector does not go by it", "error", err.Error())
	case group == 0 || limit == math.MaxInt64: // none, or GOMEMLIMIT is set
	default:
		log.Info("memory limit", "control_group", group, "gomemlimit", limit)
	}
}

// goShare returns how much of a control group's memory the Go runtime may take for itself. What the kernel holds for the
// sockets counts in the group too (in version 2): a full receive buffer is twice its size, as the kernel counts. A tenth
// is for what else the runtime does not see: the program's pages, its threads' stacks, the log's pages on their way to
// the disk. Half the group is left to Go in any case: with less the collector would do nothing but collect.
func goShare(group uint64, sockets, receiveBuffer int) uint64 {
	kernel := 2 * uint64(sockets) * uint64(receiveBuffer)
	return max(group/2, group/10*9-min(group/10*9, kernel))
}
