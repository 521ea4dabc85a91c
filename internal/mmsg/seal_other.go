//go:build !linux

package mmsg

import (
	"errors"
	"net"
)

// Seal is Linux's.
func Seal(*net.UDPConn) error { return errors.ErrUnsupported }
