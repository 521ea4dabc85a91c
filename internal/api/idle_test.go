package api

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Connections that are only kept alive do not keep others waiting: the one that has been idle for longest gives way. Those
// in use are left alone.
func TestIdleConnectionsGiveWay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		watching := w.watch("")
		var kept []*stream
		begin := time.Now()
		for range 1100 { // the server takes 1,024
			s := w.ask(http.MethodGet, "/livez")
			if s.response.StatusCode != http.StatusOK {
				t.Fatal(s.response.Status)
			}
			if _, err := io.Copy(io.Discard, s.lines); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // it is idle
			kept = append(kept, s)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("somebody waited %v", took)
		}
		again := func(s *stream) error {
			_, err := fmt.Fprintf(s.conn, "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n")
			return err
		}
		const most = 1024 - 1024/16
		closed := len(kept) + 1 - most
		for i, s := range kept {
			if i == 0 || i == closed-1 || i == closed || i == len(kept)-1 {
				if err := again(s); (err != nil) != (i < closed) {
					t.Errorf("connection %d of %d: %v", i, len(kept), err)
				}
			}
		}
		if watching.over() != nil {
			t.Error(watching.over())
		}
		for _, s := range append(kept, watching) {
			s.conn.Close()
		}
	})
}
