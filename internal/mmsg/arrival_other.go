//go:build !linux

package mmsg

import "errors"

// setArrivals is Linux's.
func setArrivals(int, bool) error { return errors.ErrUnsupported }

func arrival([]byte) int64 { return 0 }
