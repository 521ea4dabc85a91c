package mmsg

import "golang.org/x/sys/unix"

// controlSize holds what the kernel tells of one datagram: the arrival (CMSG_SPACE(16)) and the destination
// (CMSG_SPACE(12)) are 32 bytes each on 64-bit machines, and fill one cache line.
const controlSize = 64

// controlMessage returns the data of the first control message of a kind, or nil. It aliases oob. Malformed messages end
// the search.
func controlMessage(oob []byte, level, kind int32) []byte {
	for len(oob) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return nil
		}
		if header.Level == level && header.Type == kind {
			return data
		}
		oob = rest
	}
	return nil
}
