// Package traffic sends datagrams as engines do: emulated LLM engines whose states change believably, paced over real
// UDP sockets, a load of far more datagrams with less life in them, flows for datagrams that were made elsewhere, and a
// relay that treats datagrams as a bad network does.
//
// An Agent and an Emulator are plain values without a clock; a Fleet gives emulators sockets and time. Each belongs to
// one goroutine at a time, but for the counters of those that send.
package traffic
