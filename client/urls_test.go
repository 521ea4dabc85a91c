package client

import (
	"context"
	"reflect"
	"strings"
	"testing"
)

// TestParseURLs: bad ones are refused by a text that shows them and says what would be right.
func TestParseURLs(t *testing.T) {
	const such = ` is no gateway's URL: it is one such as http://127.0.0.1:8080, without user, query and fragment`
	const port = ` is no gateway's URL: its port is not from 1 to 65535`
	const none = `there is no URL: a gateway's is one such as http://127.0.0.1:8080`
	for urls, want := range map[string]string{
		"":                                 none,
		" , ,":                             none,
		"127.0.0.1:8080":                   `"127.0.0.1:8080" is no URL; did you mean http://127.0.0.1:8080?`,
		"http://h, localhost:8080":         `"localhost:8080" is no URL; did you mean http://localhost:8080?`,
		"[::1]:8080":                       `"[::1]:8080" is no URL; did you mean http://[::1]:8080?`,
		"gateway":                          `"gateway" is no URL; did you mean http://gateway?`,
		"gateway:99999":                    `"gateway:99999"` + such,
		"http:h":                           `"http:h"` + such,
		"http:":                            `"http:"` + such,
		"//h":                              `"//h"` + such,
		"ftp://h":                          `"ftp://h"` + such,
		"http://":                          `"http://"` + such,
		"http://:8080":                     `"http://:8080"` + such,
		"http://h?token=s3cret":            `"http://h?…"` + such,
		"http://h#s3cret":                  `"http://h#…"` + such,
		"h?token=s3cret":                   `"h?…"` + such,
		"http://h:0":                       `"http://h:0"` + port,
		"http://h:65536":                   `"http://h:65536"` + port,
		"http://h:99999":                   `"http://h:99999"` + port,
		"http://h:99999999999999999999999": `"http://h:99999999999999999999999"` + port,
		"http://h:port":                    `"http://h:port" is no gateway's URL: invalid port ":port" after host`,
		"http://a b":                       `"http://a b" is no gateway's URL: invalid character " " in host name`,
		"http://a\nb":                      `"http://a\nb" is no gateway's URL: net/url: invalid control character in URL`,
	} {
		_, err := ParseURLs(urls)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", urls, err, want)
		}
	}
}

// TestPasswords: none is in an error, however it is written.
func TestPasswords(t *testing.T) {
	for _, urls := range []string{
		"http://user:s3cret@h", "http://s3cret@h", "http://user:s3cret@h:port", "http://user:s3cret@h:99999", "user:s3cret@h:8080",
		"http://user:x,s3cret@h", "http://s3cret,x@h", "http://user:s3cret#x@h", "http://user:s3cret?x@h", "http://user:s3cret/@h", "http://user:s3cret@@h",
		"http://user:s3c ret@h", "http://user:%s3cret@h", "http://good,http://user:s3cret@h", "http://user:s3cret@h,ftp://h", "ftp://s3cret,http://user:x@h",
		"http://user:s3cret%40h", "http://user%3As3cret%40h:port",
	} {
		_, err := ParseURLs(urls)
		if err == nil {
			t.Errorf("%q is accepted", urls)
		} else if strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "user:") || strings.Contains(err.Error(), "ret") {
			t.Errorf("%q: %v", urls, err)
		}
	}
}

// TestWatchURLs: which addresses are asked.
func TestWatchURLs(t *testing.T) {
	if _, err := Watch(t.Context(), "http://h:99999"); err == nil {
		t.Error("a bad one is accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w, err := Watch(ctx, ",http://[::1]:8080/behind/a/proxy/, ,https://gateway.example:65535, http://[::1]:8080/behind/a/proxy/,http://h:,http://h/@,http://q?,")
	if err != nil {
		t.Fatal(err)
	}
	w.Wait()
	var got []string
	for _, f := range w.followers {
		got = append(got, strings.TrimSuffix(f.stream, "/v1/watch?fields=engines&stale=include"))
	}
	if want := []string{"http://[::1]:8080/behind/a/proxy", "https://gateway.example:65535", "http://h:", "http://h/@", "http://q"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
