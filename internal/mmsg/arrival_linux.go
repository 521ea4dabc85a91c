package mmsg

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setArrivals makes the kernel tell with each datagram that is read when it reached this host (SO_TIMESTAMPNS), or no
// longer tell it. Once a socket has asked, the kernel stamps whatever arrives for as long as the socket lives, told or not:
// what was queued before it asks again has its own time. On what was queued before the first time it puts that of the read.
func setArrivals(fd int, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, value)
}

// arrival returns the kernel's receive time among the control messages of one datagram: Unix ns, by the wall clock of that
// moment; 0 if there is none.
func arrival(oob []byte) int64 {
	data := controlMessage(oob, unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS)
	if uintptr(len(data)) < unsafe.Sizeof(unix.Timespec{}) {
		return 0
	}
	var at unix.Timespec
	copy((*[unsafe.Sizeof(at)]byte)(unsafe.Pointer(&at))[:], data) // the kernel's own struct, at any alignment
	return at.Nano()
}
