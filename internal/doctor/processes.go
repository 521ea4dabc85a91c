package doctor

import (
	"debug/buildinfo"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// Process is another process, as far as this one may see it.
type Process struct {
	PID       int
	Command   string // its name, at most 15 bytes
	Elsewhere bool   // it is in another network namespace, such as a container's
	Stopped   bool   // by a signal, or a debugger
	Gateway   bool   // it runs this program, whatever its file is called, and listens for HTTP; or it answers as a gateway
	Listens   netip.AddrPort
}

func (p Process) String() string {
	if p.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s)", p.PID, p.Command)
}

// scanProcesses fills in the owners of the sockets, and returns the gateways that run on this machine, or in this
// container. What it may not see is left out.
func scanProcesses(groups ...[]Socket) (gateways []Process) {
	own, _ := os.Readlink("/proc/self/ns/net")
	listening := map[string][]Socket{} // of each network namespace
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		name, readErr := os.ReadFile(folder + "/comm")
		if err != nil || readErr != nil || pid == os.Getpid() {
			continue
		}
		inodes := socketInodes(folder)
		if len(inodes) == 0 {
			continue
		}
		status, _ := os.ReadFile(folder + "/stat")
		p := Process{PID: pid, Command: strings.TrimSpace(string(name)), Stopped: stopped(string(status))}
		space, err := os.Readlink(folder + "/ns/net")
		p.Elsewhere = err == nil && own != "" && space != own
		if _, known := listening[space]; !known {
			listening[space] = listeners(folder)
		}
		mine := func(s Socket) bool { return slices.Contains(inodes, s.inode) }
		if i := slices.IndexFunc(listening[space], mine); i >= 0 && runsThis(folder) {
			p.Gateway, p.Listens = true, listening[space][i].Local
			gateways = append(gateways, p)
		}
		if p.Elsewhere {
			continue // its sockets are not ours
		}
		for _, sockets := range groups {
			for i := range sockets {
				if mine(sockets[i]) {
					sockets[i].claim(p)
				}
			}
		}
	}
	return gateways
}

// runsThis reports whether a process runs the program that this one is, of whatever version and under whatever name.
func runsThis(folder string) bool {
	its, err := buildinfo.ReadFile(folder + "/exe")
	own, known := debug.ReadBuildInfo()
	return err == nil && known && its.Path == own.Path
}

// stopped reports whether a process is stopped, by the text of its /proc/…/stat. Its name, in brackets, may have any in it.
func stopped(stat string) bool {
	_, rest, _ := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	state, _, _ := strings.Cut(rest, " ")
	return state == "T" || state == "t"
}

// claim notes an owner. A socket that was passed on has several: the gateway is the one that reads it.
func (s *Socket) claim(p Process) {
	s.pids = append(s.pids, p.PID)
	if s.Owner.PID == 0 || p.Gateway {
		s.Owner = p
	}
}

// socketInodes returns the sockets that a process has open.
func socketInodes(folder string) (inodes []uint64) {
	entries, _ := os.ReadDir(folder + "/fd")
	for _, e := range entries {
		link, _ := os.Readlink(folder + "/fd/" + e.Name())
		if text, ok := strings.CutPrefix(link, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); err == nil {
				inodes = append(inodes, n)
			}
		}
	}
	return inodes
}

// holders returns the processes that have a port, as far as this one may see.
func holders(network string, port uint16) (all []Process) {
	sockets := socketsOn(network, port)
	scanProcesses(sockets)
	return owners(sockets)
}

// owners returns the known owners of sockets, each once.
func owners(sockets []Socket) (all []Process) {
	for _, s := range sockets {
		if s.Owner.PID != 0 && !slices.Contains(all, s.Owner) {
			all = append(all, s.Owner)
		}
	}
	return all
}
