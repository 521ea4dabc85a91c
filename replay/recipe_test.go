package replay_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/elrar/state-gateway/replay"
	"github.com/elrar/state-gateway/state"
)

// TestIncident is the regression test that docs/replay.md shows.
func TestIncident(t *testing.T) {
	capture, err := replay.Open([]string{"testdata/incident.pcapng.gz"}, replay.ReadOptions{Port: 9999})
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	gateway := replay.NewOffline(capture, replay.DefaultOfflineSettings())
	start, err := gateway.Start()
	if err != nil {
		t.Fatal(err)
	}

	// What a router was told twelve seconds after the start.
	if err := gateway.RunTo(start.Add(12 * time.Second)); err != nil {
		t.Fatal(err)
	}
	status := map[string]state.Status{}
	for _, e := range gateway.Engines() {
		status[e.EngineID] = e.Status
	}
	if status["http://10.0.0.1:gone"] != state.Stale || status["http://10.0.0.1:rests"] != state.Idle {
		t.Errorf("statuses %v", status)
	}

	// And what was counted to the end.
	if err := gateway.Run(); err != nil {
		t.Fatal(err)
	}
	if s := gateway.Statistics(); s.Applied != 452 || s.ClockReset != 1 || s.Rejected[state.JSON] != 4 {
		t.Errorf("%+v", s)
	}
}

// The document shows the test as it stands here.
func TestRecipeIsShown(t *testing.T) {
	source, err := os.ReadFile("recipe_test.go")
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "docs/replay.md shows.\n")
	recipe, _, ok := strings.Cut(rest, "\n// The document")
	if !ok || !strings.Contains(string(document), "```go\n"+strings.TrimSpace(recipe)+"\n```\n") {
		t.Errorf("docs/replay.md does not show\n%s", recipe)
	}
}
