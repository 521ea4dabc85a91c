// Package api is the HTTP side of the gateway: states, history, statistics, metrics and health, as section 5 of the
// protocol describes them. It shows what the gateway holds and changes nothing; it is not for settings or commands.
//
// Everything it shows comes through two small interfaces, Table and Gateway. Answers are rendered whole, into pooled
// buffers, before the first byte is sent: a reader gets either a complete answer or a problem (RFC 9457), whatever
// happens meanwhile, and how slowly it reads concerns nobody else. Everything that came from outside, engine ids
// above all, is untrusted text and leaves as JSON strings and label values only, never as part of a path, a header or a
// log format.
//
// Concurrency: the handler and the server are safe for any number of goroutines. Nothing here is ever waited for by
// the goroutines that receive datagrams.
package api
