// Package journal writes applied states to the state log: a JSONL file, one whole line per state.
//
// Each reader goroutine has an Appender of its own, which renders lines into memory and never waits: not for the disk,
// not for the writer, not for a lock. One writer goroutine, Run, takes what the appenders have committed, in order of
// arrival, and writes it in large pieces of whole lines. When it cannot keep up, lines are dropped and counted.
//
// Memory: an appender takes segments as it needs them, up to its limit, and uses the same few again and again while
// the writer keeps up, so that they stay in the processor's cache.
package journal
