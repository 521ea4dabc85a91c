package api

import (
	"fmt"
	"testing"
	"time"
)

type wireHistory struct {
	EngineID string       `json:"engine_id"`
	States   []wireRecord `json:"states"`
}

type wireRecord struct {
	wireState    `json:",inline"`
	ReceivedAtMs *int64 `json:"received_at_ms"`
}

func TestHistory(t *testing.T) {
	table := newFakeTable()
	const states = 150
	for i := range int64(states) {
		table.put(heldAt("http://a:8000", i, at(time.Duration(i)*time.Second)))
	}
	h := newTestAPI(table)
	for suffix, want := range map[string]int{
		"":                                defaultHistory,
		"&limit=1":                        1,
		"&limit=3":                        3,
		"&limit=150":                      150,
		"&limit=151":                      150,
		"&limit=9223372036854775808":      150,
		"&limit=99999999999999999999999":  150,
		"&limit=2147483648":               150,
		"&limit=000000000000000000000007": 7,
	} {
		var got wireHistory
		getJSON(t, h, "/v1/history?engine_id=http%3A%2F%2Fa:8000"+suffix, &got)
		if got.EngineID != "http://a:8000" || len(got.States) != want {
			t.Fatalf("limit %q: %d states, want %d", suffix, len(got.States), want)
		}
		for i, r := range got.States {
			n := int64(states - want + i)
			if r.state(t) != engineState("http://a:8000", n) || *r.ReceivedAtMs != unixMs(epoch)+1000*n {
				t.Fatalf("limit %q: entry %d is %+v", suffix, i, r)
			}
		}
	}
}

func TestHistoryKeepsNone(t *testing.T) {
	table := newFakeTable(heldAt("a", 1, at(0)))
	table.history["a"] = nil
	if got, want := get(t, newTestAPI(table), "/v1/history?engine_id=a").Body.String(), `{"engine_id": "a", "states": []}`+"\n"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestHistoryErrors(t *testing.T) {
	h := newTestAPI(newFakeTable(heldAt("a", 1, at(0))))
	wantProblem(t, get(t, h, "/v1/history"), 400, "engine_id is missing")
	wantProblem(t, get(t, h, "/v1/history?engine_id="), 400, "engine_id is missing")
	wantProblem(t, get(t, h, "/v1/history?engine_id=b"), 404, `no engine "b" is held`)
	for _, limit := range []string{"", "0", "-1", "%2B1", "1.0", "1e3", "0x10", "1_0", "ten", "%201"} {
		wantProblem(t, get(t, h, fmt.Sprintf("/v1/history?engine_id=a&limit=%s", limit)), 400, "limit is")
	}
}
