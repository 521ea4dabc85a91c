//go:build !linux || portable

package mmsg

import (
	"net"

	"golang.org/x/net/ipv4"
)

// Sender writes batches of datagrams to the peer of one connected UDP socket.
type Sender struct {
	conn     *ipv4.PacketConn
	messages []ipv4.Message
}

// NewSender returns a sender of at most batch datagrams a system call (1–1024). The caller keeps conn, and closes it.
func NewSender(conn *net.UDPConn, batch int) (*Sender, error) {
	if batch < 1 || batch > maxBatch {
		return nil, ErrBatch
	}
	s := &Sender{conn: ipv4.NewPacketConn(conn), messages: make([]ipv4.Message, batch)}
	for i := range s.messages {
		s.messages[i].Buffers = make([][]byte, 1)
	}
	return s, nil
}

// Send sends the datagrams in order and returns how many the kernel took; fewer than all of them only with an error,
// which then concerns the first one not taken. It waits while the socket's send buffer is full. The datagrams are
// only read, and only during the call.
func (s *Sender) Send(datagrams [][]byte) (int, error) {
	sent := 0
	for sent < len(datagrams) {
		chunk := datagrams[sent:min(sent+len(s.messages), len(datagrams))]
		for i, d := range chunk {
			s.messages[i].Buffers[0] = d
		}
		n, err := s.conn.WriteBatch(s.messages[:len(chunk)], 0)
		for i := range chunk {
			s.messages[i].Buffers[0] = nil
		}
		sent += max(n, 0)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
