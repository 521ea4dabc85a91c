//go:build !linux

package doctor

// driver is Linux's to tell.
func driver(string) string { return "" }
