package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/elrar/state-gateway/client"
)

// A router picks the engine with the shortest queue. It would have a policy of its own for an empty map: that is what it
// sees while no gateway is reached.
func Example() {
	gateway := fakeGateway(
		event("snapshot", engine("10.0.0.1:8000", 120)+","+engine("10.0.0.2:8000", 40)),
	)
	defer gateway.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w, err := client.Watch(ctx, gateway.URL)
	if err != nil {
		fmt.Println(err) // the URL is none
		return
	}
	for changed := w.Changed(); len(w.States()) == 0; changed = w.Changed() { // at the start only: a snapshot is on its way
		<-changed
	}

	var best client.State
	for _, s := range w.States() { // a copy, from memory
		if best.EngineID == "" || s.PendingTokensTotal < best.PendingTokensTotal {
			best = s
		}
	}
	fmt.Println(best.EngineID, "with", best.PendingTokensTotal, "tokens waiting")
	// Output: 10.0.0.2:8000 with 40 tokens waiting
}

// A channel is asked for before the states are read: what changes after that closes it.
func ExampleWatcher_Changed() {
	gateway := fakeGateway(
		event("snapshot", engine("10.0.0.1:8000", 120)),
		event("update", engine("10.0.0.1:8000", 80)),
		event("update", engine("10.0.0.1:8000", 0)),
	)
	defer gateway.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w, err := client.Watch(ctx, gateway.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		changed := w.Changed()
		if s, ok := w.State("10.0.0.1:8000"); ok && s.PendingTokensTotal == 0 {
			fmt.Println("the queue is empty")
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			fmt.Println(ctx.Err())
			return
		}
	}
	// Output: the queue is empty
}

// Who only looks, and does not route, may want to see engines that are silent, and how it stands with the gateway.
func ExampleWatcher_Engines() {
	gateway := fakeGateway(
		event("snapshot", engine("10.0.0.1:8000", 120)),
	)
	defer gateway.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w, err := client.Watch(ctx, gateway.URL, client.IncludeStale())
	if err != nil {
		fmt.Println(err)
		return
	}
	for changed := w.Changed(); len(w.Engines()) == 0; changed = w.Changed() {
		<-changed
	}
	for _, e := range w.Engines() {
		fmt.Printf("%s is %s and stale after %v of silence\n", e.EngineID, e.Status, e.StaleAfter)
	}
	for _, g := range w.Gateways() {
		fmt.Println("reached:", g.Streams > 0) // g.Connected says whether it is now, g.Problem why not
	}
	// Output:
	// 10.0.0.1:8000 is fresh and stale after 1m0s of silence
	// reached: true
}

// Settings are checked before anything is started.
func ExampleParseURLs() {
	_, err := client.ParseURLs("127.0.0.1:8080")
	fmt.Println(err)
	// Output: "127.0.0.1:8080" is no URL; did you mean http://127.0.0.1:8080?
}

// fakeGateway sends the events to whoever watches, and then nothing until it is closed.
func fakeGateway(events ...string) *httptest.Server {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range events {
			fmt.Fprint(w, e)
		}
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	return gateway
}

func event(name, engines string) string {
	return fmt.Sprintf("event: %s\ndata: {\"states\": {%s}}\n\n", name, engines)
}

func engine(id string, pending int) string {
	return fmt.Sprintf(`%q: {"engine_id": %[1]q, "timestamp_ms": 1767225600000, "latency_pred_ms": 20.5, "scheduling_mode": "balanced", "pending_tokens_total": %d, "kv_cache_free_blocks": 10, "kv_cache_total_blocks": 20, "engine_capacity": 59000.0, "status": "fresh", "age_ms": 0, "stale_after_ms": 60000, "load_timestamp_ms": 1767225600000}`, id, pending)
}
