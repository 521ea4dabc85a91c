package client

import (
	"bytes"
	"testing"
	"time"
)

// FuzzParse: what is understood of an event's data has sane ages and is each engine's own.
func FuzzParse(f *testing.F) {
	for _, data := range []any{states(engine("a", 1), engine("b", 2, map[string]any{"age_ms": -5, "source_addr": nil})), bookmark()} {
		var b bytes.Buffer
		(&stream{w: &recorder{Buffer: &b}}).send("x", data)
		_, text, _ := bytes.Cut(b.Bytes(), []byte("data: "))
		f.Add(string(text))
	}
	f.Add(`{"states": {"a": {"engine_id": "a", "age_ms": 1e12, "stale_after_ms": 0}}, "engine_ids": ["x"]}`)
	f.Fuzz(func(t *testing.T, data string) {
		at := time.Now()
		m, err := parse(data, at)
		if err != nil {
			return
		}
		for id, e := range m.States {
			if e.EngineID != id || e.Heard.After(at) || e.StaleAfter < 0 || e.staleAt().Before(e.Heard) {
				t.Errorf("%q: %+v", id, e)
			}
		}
	})
}
