// Package mmsg receives and sends UDP datagrams in batches, and sets and reads the socket options that go with it.
//
// It is the packet path's one room with system calls. On Linux a batch is one recvmmsg or sendmmsg, made by hand since
// golang.org/x/sys/unix wraps neither: x/net's ReadBatch allocates a net.Addr for each datagram. Everywhere else, and
// on Linux under the build tag "portable", the same types work on golang.org/x/net/ipv4's ReadBatch and WriteBatch;
// the same tests hold for both.
//
// It knows nothing of what the datagrams carry. A Receiver or Sender belongs to one goroutine at a time.
package mmsg
