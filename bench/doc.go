// Package bench measures the gateway under real load: UDP datagrams over the loopback interface, sent by a process of
// its own, received by the packet engine in this one.
//
//	go test -run '^$' -bench . -benchtime 1x -count 6 ./bench
//
// and for those who read, whose results are a file of their own:
//
//	go test -run '^$' -bench Watch -benchtime 1x -count 6 ./bench > bench/results/watch.txt
//
// The unit is the null sink: the packet engine's reader with a handler that does nothing, measured in the same
// benchmark, before and after its subject by turns, so that a machine that is faster or slower now than a minute ago
// changes both. Absolute figures mean nothing beside those of another machine; "xnull" does.
//
// Metrics: cpu-ns/dgram is this process's CPU time, user and system, per datagram received; dgram/s what was received;
// drop-% what the kernel dropped of what was sent; xnull and xrate the ratios of the first two to the null sink's.
package bench
