package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestReplayUsage(t *testing.T) {
	const speed = "--speed: must be max or a number such as 1x or 10x, from 1e-05 to 1e+09, not "
	const sending = " is for sending: --offline, --states-at and --summary send nothing"
	const looking = " is for --offline, --states-at and --summary: a gateway that is sent to has settings of its own"
	const exclude = "replay: --offline (or --states-at), --summary and --gateway exclude each other"
	for _, test := range []struct {
		args string // split at spaces
		want string
	}{
		{"", `expected "<file> ..."`},
		{"x --target=127.0.0.1", `replay: --target must be host:port ([…] around an IPv6 address), the port from 1 to 65535, not "127.0.0.1"`},
		{"x --speed=0", speed + `"0"`},
		{"x --speed=x", speed + `"x"`},
		{"x --speed=-1x", speed + `"-1x"`},
		{"x --speed=NaN", speed + `"NaN"`},
		{"x --speed=1e10x", speed + `"1e10x"`},
		{"x --speed=fast", speed + `"fast"`},
		{"x --rate=0", `--rate: must be max or more than 0 and at most 1000000000, not "0"`},
		{"x --start=-1s", "replay: --start must not be negative"},
		{"x --stop=-1s", "replay: --stop must not be negative"},
		{"x --start=2s --stop=1s", "replay: --stop must not be before --start"},
		{"x --loop=0", "replay: --loop must be from 1 to 1000000"},
		{"x - --loop=2", "replay: --loop is for files: standard input and pipes can be read once only"},
		{"x --engines=0", "replay: --engines must be from 1 to 100000"},
		{"x --engines=100001", "replay: --engines must be from 1 to 100000"},
		{"x --drop=-1", "replay: --drop must be from 0 to 100 (percent)"},
		{"x --duplicate=101", "replay: --duplicate must be from 0 to 100 (percent)"},
		{"x --reorder=NaN", "replay: --reorder must be from 0 to 100 (percent)"},
		{"x --port=65536", `--port: expected a valid 16 bit uint but got "65536"`},
		{"x --offline --summary", exclude},
		{"x --states-at=1s --gateway=http://127.0.0.1:8080", exclude},
		{"x --summary --gateway=http://127.0.0.1:8080", exclude},
		{"/dev/null --loop=2", "replay: --loop is for files: standard input and pipes can be read once only"},
		{"x --offline --target=127.0.0.1:9999", "replay: --target" + sending},
		{"x --summary --speed=max", "replay: --speed" + sending},
		{"x --states-at=end --rate=5", "replay: --rate" + sending},
		{"x --stale-threshold=1000", "replay: --stale-threshold" + looking},
		{"x --log-file=tried.jsonl --gateway=http://127.0.0.1:8080", "replay: --log-file" + looking},
		{"x --http-address=:1 --offline", "unknown flag --http-address"},
		{"x --workers=2 --summary", "unknown flag --workers"},
	} {
		got := runBinary(t, nil, append([]string{"replay"}, strings.Fields(test.args)...)...)
		if want := (result{64, "", "state-gateway: " + test.want + "; see state-gateway --help\n"}); got != want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", test.args, got, want)
		}
	}
}

// TestReplaySettings: the help has the settings that have an effect, and a variable of another one stands.
func TestReplaySettings(t *testing.T) {
	got := runBinary(t, nil, "replay", "--help")
	_, settings, found := strings.Cut(got.stdout, "Settings of the gateway, for --offline, --states-at and --summary:")
	if got.code != 0 || !found {
		t.Fatalf("%+v", got)
	}
	var flags []string
	for _, word := range strings.Fields(settings) {
		if name, is := strings.CutPrefix(word, "--"); is {
			name, _, _ = strings.Cut(name, "=")
			flags = append(flags, name)
		}
	}
	if want := []string{"network-mode", "stale-threshold", "enable-log", "log-file", "log-mode", "max-datagram", "remove-after", "max-engines",
		"clock", "heartbeat-merge"}; !slices.Equal(flags, want) {
		t.Errorf("got  %q\nwant %q", flags, want)
	}
	got = runBinary(t, env("WORKERS=none", "HTTP_ADDRESS=x"), "replay", "--summary", "/dev/null")
	if got.code != 1 || strings.Contains(got.stderr, "WORKERS") {
		t.Errorf("%+v", got)
	}
}

func TestReplaySpeed(t *testing.T) {
	for text, want := range map[string]string{"1x": "1x", "10": "10x", "0.5x": "0.5x", "1e3x": "1000x", "max": "max", "0.00001x": "1e-05x"} {
		var speed replaySpeed
		if err := speed.UnmarshalText([]byte(text)); err != nil || speed.String() != want {
			t.Errorf("%s: %v, %v", text, speed, err)
		}
	}
}

// The commands in the documentation are ones that the command line knows.
func TestReplayDocument(t *testing.T) {
	lines := documented(t, "state-gateway ")
	if len(lines) < 5 {
		t.Errorf("only %q", lines)
	}
	for _, line := range lines {
		parser, err := kong.New(&commands{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(strings.Fields(line)[1:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
