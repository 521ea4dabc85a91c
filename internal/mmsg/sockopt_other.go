//go:build !linux

package mmsg

import (
	"errors"
	"net"
	"syscall"
)

// Balances says that the kernel spreads the flows of one port over the sockets that share it with SO_REUSEPORT.
const Balances = false

// SetReusePort is not offered where the kernel does not balance.
func SetReusePort(int) error { return errors.ErrUnsupported }

// SetReceiveBuffer asks for a receive buffer of size bytes and returns the bytes granted.
func SetReceiveBuffer(conn *net.UDPConn, size int) (granted int, err error) {
	if err := conn.SetReadBuffer(size); err != nil {
		return 0, err
	}
	err = control(conn, func(fd int) error {
		granted, err = syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		return err
	})
	return granted, err
}

// RaiseReceiveBuffer is SetReceiveBuffer for a socket that somebody else has made: it never makes the buffer smaller than
// it is.
func RaiseReceiveBuffer(conn *net.UDPConn, size int) (granted int, err error) {
	err = control(conn, func(fd int) error {
		granted, err = syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		return err
	})
	if err != nil || granted >= size {
		return granted, err
	}
	return SetReceiveBuffer(conn, size)
}

// Drops is not counted per socket here: always 0.
func Drops(*net.UDPConn) (uint32, error) { return 0, nil }

// Inode is Linux's.
func Inode(*net.UDPConn) (uint64, error) { return 0, errors.ErrUnsupported }

// SetSegmentation is Linux's.
func SetSegmentation(*net.UDPConn, int) error { return errors.ErrUnsupported }
