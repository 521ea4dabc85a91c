// Package doctor answers what an operator asks when nothing arrives: what is set, what is bound, what the kernel dropped,
// whether a datagram gets through, who sends, and what is the likely cause.
//
// Gather collects Facts: from /proc, from the gateway's HTTP interface, and from empty datagrams sent to it, which it
// counts as rejected and which change nothing else. Examine makes Findings of them; it and every rule below it are pure
// functions, and know nothing of where a fact came from. Look and Foresee are the part of both that the gateway itself
// uses when it starts: the surroundings, and the settings that cannot work in them.
//
// Nothing is written anywhere, no valid state is ever sent, and nothing here is shared: any goroutine may call it.
package doctor
