// Package engine is the packet engine: UDP sockets that share a port, one reader goroutine each, read in batches.
//
// "Engine" here means the machinery that moves packets. The LLM engines whose states this program carries are the
// business of other packages; this one knows nothing of JSON or LLMs and could serve any protocol.
//
// Concurrency: each reader owns its socket, its slab and its handler. A batch is handled to the end on the goroutine
// that read it; nothing crosses over. Counters are added to once a batch and may be read by anybody at any time.
package engine
