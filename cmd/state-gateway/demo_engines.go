package main

import (
	"context"
	"fmt"
	"time"

	"github.com/elrar/state-gateway/internal/traffic"
)

// demoNews is how often demoEngines says how far it is: not too much for a container's log.
const demoNews = time.Minute

// demoEngines lets simulated engines push their states to opts.Target until ctx ends, whether or not somebody listens.
func demoEngines(ctx context.Context, opts demoCommand) error {
	target, err := resolveTarget(ctx, opts.Target)
	if err != nil {
		return err
	}
	fleet, err := traffic.NewFleet(traffic.FleetConfig{Target: target, Engines: opts.Engines, Interval: opts.Interval, Workload: traffic.Breaks})
	if err != nil {
		return err
	}
	defer fleet.Close()
	fmt.Printf("%d simulated engines push a state every %v to udp://%v\n", opts.Engines, opts.Interval, target)
	account := func() { fmt.Printf("sent %d, refused %d\n", fleet.Sent(), fleet.Failed()) }
	news := time.NewTicker(demoNews)
	defer news.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fleet.Run(ctx)
	}()
	for {
		select {
		case <-news.C:
			account()
		case <-ended:
			account()
			return nil
		}
	}
}
