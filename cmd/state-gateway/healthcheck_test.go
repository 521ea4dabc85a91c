package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHealthcheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   result
	}{
		{"ready", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/readyz" {
				t.Errorf("asked %s %s", r.Method, r.URL)
			}
		}, result{}},
		{"problem", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"title": "Not ready", "detail": "sockets bound\nfor 0.2 s"}`))
		}, result{1, "", `state-gateway: not ready: sockets bound\nfor 0.2 s` + "\n"}},
		{"no problem", func(w http.ResponseWriter, r *http.Request) {
			http.NotFound(w, r)
		}, result{1, "", "state-gateway: not ready: 404 Not Found\n"}},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, result{1, "", "state-gateway: not ready: 302 Found\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			address := server.Listener.Addr().String()
			port := address[strings.LastIndex(address, ":"):]
			for _, address := range []string{address, port, "0.0.0.0" + port} {
				// A bad variable of another command and a proxy are nothing to it.
				environ := append(env("HTTP_ADDRESS="+address, "UDP_PORT=bad"), "HTTP_PROXY=http://192.0.2.1:1")
				if got := runBinary(t, environ, "healthcheck"); got != test.want {
					t.Errorf("%s:\ngot  %+v\nwant %+v", address, got, test.want)
				}
			}
			if got := runBinary(t, env("HTTP_ADDRESS=:1"), "healthcheck", "--http-address="+address); got != test.want {
				t.Errorf("by flag: %+v", got)
			}
		})
	}
}

func TestHealthcheckFails(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}))
	defer silent.Close()
	address := silent.Listener.Addr().String()
	got := runBinary(t, nil, "healthcheck", "--timeout=50ms", "--http-address="+address)
	if got.code != 1 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "not ready: ") {
		t.Errorf("no answer: %+v", got)
	}

	closed := httptest.NewServer(nil)
	closed.Close()
	got = runBinary(t, nil, "healthcheck", "--http-address="+closed.Listener.Addr().String())
	if got.code != 1 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "refused") {
		t.Errorf("nobody there: %+v", got)
	}

	if got := runBinary(t, env("HTTP_ADDRESS=8080"), "healthcheck"); got.code != 78 {
		t.Errorf("bad address: %+v", got)
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		":8080":             "127.0.0.1:8080",
		"0.0.0.0:1":         "127.0.0.1:1",
		"[::]:1":            "[::1]:1",
		"[fe80::1%eth0]:1":  "[fe80::1%eth0]:1",
		"192.0.2.1:1":       "192.0.2.1:1",
		"gateway.example:1": "gateway.example:1",
	} {
		if got := reachable(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
