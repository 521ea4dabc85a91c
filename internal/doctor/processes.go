package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is another process, as far as this one may see it.
type Process struct {
	PID       int
	Command   string // its name, at most 15 bytes
	Elsewhere bool   // it is in another network namespace, such as a container's
}

func (p Process) String() string {
	if p.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s)", p.PID, p.Command)
}

// gatewayCommand is what a gateway's process is called.
const gatewayCommand = "state-gateway"

// scanProcesses fills in the owners of the sockets, and returns the gateways that run on this machine, or in this
// container. What it may not see is left out.
func scanProcesses(sockets []Socket) (gateways []Process) {
	own, _ := os.Readlink("/proc/self/ns/net")
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		name, readErr := os.ReadFile(folder + "/comm")
		if err != nil || readErr != nil || pid == os.Getpid() {
			continue
		}
		p := Process{PID: pid, Command: strings.TrimSpace(string(name))}
		if space, err := os.Readlink(folder + "/ns/net"); err == nil && own != "" {
			p.Elsewhere = space != own
		}
		if p.Command == gatewayCommand {
			gateways = append(gateways, p)
		}
		if p.Elsewhere {
			continue // its sockets are not ours
		}
		inodes := socketInodes(folder)
		for i := range sockets {
			if slices.Contains(inodes, sockets[i].inode) {
				sockets[i].claim(p)
			}
		}
	}
	return gateways
}

// claim notes an owner. A socket that was passed on has several: the gateway is the one that reads it.
func (s *Socket) claim(p Process) {
	if s.Owner.PID == 0 || p.Command == gatewayCommand {
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
