// Package client keeps a State Gateway's view of the LLM engines in the memory of the router that reads it.
//
//	w, err := client.Watch(ctx, "http://127.0.0.1:8080")
//	…
//	for id, state := range w.States() { … }
//
// A goroutine follows the gateway's /v1/watch; reading copies from memory and never waits for the network. When the gateway
// cannot be reached, what it last told ages by this process's monotonic clock, and is not shown any more once it is stale:
// a router then has no states and falls back to a policy of its own, instead of trusting a frozen view.
//
// The package needs nothing else of this module.
package client
