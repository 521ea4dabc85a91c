package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU returns the CPU time of all threads of a process, user and system, so far.
func processCPU(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED: what clock_getcpuclockid(3) makes of a pid
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// delivery is what the kernel counts of UDP over IPv4 in this network namespace.
type delivery struct{ received, dropped uint64 }

func readDelivery() (delivery, error) {
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return delivery{}, err
	}
	return parseDelivery(string(text))
}

// parseDelivery reads the two lines of /proc/net/snmp that begin with "Udp:": names, and values.
func parseDelivery(text string) (d delivery, err error) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if len(fields) != len(names) {
			return d, fmt.Errorf("/proc/net/snmp: %d names and %d values of Udp", len(names), len(fields))
		}
		for i, name := range names {
			switch name {
			case "InDatagrams":
				d.received, err = strconv.ParseUint(fields[i], 10, 64)
			case "RcvbufErrors":
				d.dropped, err = strconv.ParseUint(fields[i], 10, 64)
			}
			if err != nil {
				return d, fmt.Errorf("/proc/net/snmp: %w", err)
			}
		}
		return d, nil
	}
	return d, fmt.Errorf("/proc/net/snmp: no values of Udp")
}

// bound reports whether somebody in this network namespace receives at a UDP port.
func bound(port int) bool {
	for _, name := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		if text, err := os.ReadFile(name); err == nil && hasPort(string(text), port) {
			return true
		}
	}
	return false
}

// hasPort looks for a local port in the text of /proc/net/udp.
func hasPort(text string, port int) bool {
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasSuffix(fields[1], suffix) {
			return true
		}
	}
	return false
}

// raiseLoopback puts up the loopback interface, which is down in a new network namespace.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return err
	}
	flags := request.Uint16()
	if flags&unix.IFF_UP != 0 {
		return nil
	}
	request.SetUint16(flags | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// countLines returns the number of lines of a file.
func countLines(name string) (n uint64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	for {
		_, err := r.ReadSlice('\n')
		switch err {
		case nil:
			n++
		case bufio.ErrBufferFull: // a very long line
		case io.EOF:
			return n, nil
		default:
			return n, err
		}
	}
}

// machine says which machine this is, without its name.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s", runtime.NumCPU(), model)
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
