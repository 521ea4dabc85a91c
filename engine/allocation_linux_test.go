//go:build linux && !portable

package engine

const allocationFree = true
