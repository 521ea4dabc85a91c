package replay

// skip says why a record of a capture, a packet or a line, is not one of its datagrams.
type skip uint8

// The reasons. A packet that several hold for counts for the one that is found first, on the way from the outside in.
const (
	taken skip = iota // it is one

	// Packets.
	skipLinkType    // the link type is none of those that are read
	skipNotIP       // neither IPv4 nor IPv6
	skipNotUDP      // another protocol
	skipFragment    // a fragment of a datagram, the first or a later one
	skipOtherPort   // to another port than ReadOptions.Port
	skipBadLength   // a length field that cannot be
	skipTruncated   // the capture's snap length cut it off
	skipSecondSight // the same packet once more, as another interface saw it or in the other direction
	skipNoTime      // no time, or one before 1970 or after 2261
	skipNoInterface // the file describes no such interface

	// Lines.
	skipNotLogLine // not a JSON object with a timestamp and a state
	skipLongLine   // longer than any datagram makes it
	skipTornLine   // the last one of a file, without its end

	// Where a file breaks off: one each, however much is missing.
	skipCutOff    // it ends in the middle of a record
	skipDamaged   // from here on it makes no sense
	skipCorrupt   // the compressed data are corrupt
	skipReadError // the system could not read it

	skipEnd
)

var skipNames = [skipEnd]string{"taken",
	"link_type", "not_ip", "not_udp", "fragment", "other_port", "bad_length", "truncated", "second_sight", "no_time", "no_interface",
	"not_a_log_line", "line_too_long", "torn_line",
	"cut_off", "damaged", "corrupt", "read_error"}

// String returns the reason's name in reports.
func (s skip) String() string { return skipNames[s] }
