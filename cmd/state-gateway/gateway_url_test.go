package main

import (
	"strings"
	"testing"
)

// TestGatewayURL: every command that asks a gateway takes and refuses the same URLs, with the same words.
func TestGatewayURL(t *testing.T) {
	commands := map[string][]string{ // to which the URL is appended
		"--url":      {"doctor", "--url"},
		"--gateway":  {"load", "--gateway"},
		"--gateway ": {"replay", "x", "--gateway"},
		"top: --url": {"top", "--url"},
	}
	for flag, args := range commands {
		for text, want := range map[string]string{
			"127.0.0.1:8080":            `"127.0.0.1:8080" is no URL; did you mean http://127.0.0.1:8080? See `,
			"localhost:8080":            `"localhost:8080" is no URL; did you mean http://localhost:8080? See `,
			"ftp://h":                   `"ftp://h" is no gateway's URL: it is one such as http://127.0.0.1:8080, without user, query and fragment; see `,
			"http://h:99999":            `"http://h:99999" is no gateway's URL: its port is not from 1 to 65535; see `,
			"http://h?token=s3cret":     `"http://h?…" is no gateway's URL: it is one such as http://127.0.0.1:8080, without user, query and fragment; see `,
			"http://user:s3cret@h:port": `what has an @ in it, and so perhaps a password, is not shown: a gateway's URL is one such as http://127.0.0.1:8080, without a user; see `,
		} {
			got := runBinary(t, nil, append(args[:len(args):len(args)], text)...)
			if want := (result{64, "", "state-gateway: " + strings.TrimSpace(flag) + ": " + want + "state-gateway --help\n"}); got != want {
				t.Errorf("%q %s:\ngot  %+v\nwant %+v", args, text, got, want)
			}
		}
	}
}

// TestGatewayURLUser: one may be in it where a single gateway is asked, and its password is nowhere shown.
func TestGatewayURLUser(t *testing.T) {
	var g gatewayURL
	if err := g.UnmarshalText([]byte("http://user:s3c,ret@127.0.0.1:8080/behind")); err != nil {
		t.Error(err)
	} else if password, _ := g.User.Password(); password != "s3c,ret" || g.Host != "127.0.0.1:8080" || g.Path != "/behind" {
		t.Errorf("%+v", g)
	}
	for _, text := range []string{"http://user:s3cret@h:99999", "http://user:s3cret@h?x", "http://user:s3cret@a,http://b", "http://a,http://user:s3cret@b"} {
		if err := g.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
	}
	got := runBinary(t, nil, "doctor", "--for=10ms", "--url=http://user:s3cret@127.0.0.1:1")
	if !strings.Contains(got.stdout, "no gateway answers at http://user:xxxxx@127.0.0.1:1") || strings.Contains(got.stdout+got.stderr, "s3cret") {
		t.Errorf("%+v", got)
	}
}
