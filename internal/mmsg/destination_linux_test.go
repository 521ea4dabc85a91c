package mmsg

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// pktinfo returns a control message as the kernel writes it.
func pktinfo(specDst, addr [4]byte) []byte {
	oob := make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(unix.SizeofInet4Pktinfo)))
	binary.NativeEndian.PutUint32(oob[8:], unix.IPPROTO_IP)
	binary.NativeEndian.PutUint32(oob[12:], unix.IP_PKTINFO)
	copy(oob[unix.CmsgLen(4):], specDst[:])
	copy(oob[unix.CmsgLen(8):], addr[:])
	return oob
}

func TestBroadcastDestination(t *testing.T) {
	own, all := [4]byte{10, 0, 0, 7}, [4]byte{10, 0, 0, 255}
	other := pktinfo(own, all)
	binary.NativeEndian.PutUint32(other[12:], unix.IP_TTL)
	tooLong := pktinfo(own, all)
	binary.NativeEndian.PutUint64(tooLong, 1000)
	for name, c := range map[string]struct {
		oob  []byte
		want bool
	}{
		"unicast":               {pktinfo(own, own), false},
		"broadcast":             {pktinfo(own, all), true},
		"after another message": {append(append([]byte{}, other...), pktinfo(own, all)...), true},
		"another message alone": {other, false},
		"nothing":               {nil, false},
		"cut in the header":     {pktinfo(own, all)[:10], false},
		"cut in the data":       {pktinfo(own, all)[:20], false},
		"length beyond the end": {tooLong, false},
		"zeros":                 {make([]byte, 64), false},
	} {
		if got := broadcastDestination(c.oob); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
