package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// given returns the flags with the texts of some variables, named without their prefix.
func given(t *testing.T, texts map[string]string) Flags {
	t.Helper()
	var f Flags
	for name, text := range texts {
		all := definitions(&Settings{})
		i := slices.IndexFunc(all, func(d definition) bool { return d.variable == Prefix+name })
		if i < 0 {
			t.Fatalf("no setting %s", name)
		}
		reflect.ValueOf(&f).Elem().FieldByIndex(all[i].field).Set(reflect.ValueOf(&text))
	}
	return f
}

func TestDefaults(t *testing.T) {
	got, warnings, err := Flags{}.Resolve()
	if err != nil || warnings != nil {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := Settings{
		NetworkMode:    Unicast,
		UDPPort:        9999,
		BindAddress:    netip.MustParseAddr("0.0.0.0"),
		StaleThreshold: 2 * time.Second,
		EnableLog:      true,
		LogFile:        "engine_states.jsonl",
		LogMode:        0o644,
		LogKeep:        7,
		LogCompress:    "none",
		LogMinFree:     256 << 20,
		HTTPAddress:    ":8080",
		Workers:        min(runtime.GOMAXPROCS(0), 4),
		BatchSize:      64,
		ReceiveBuffer:  8 << 20,
		MaxDatagram:    4096,
		RemoveAfter:    5 * time.Minute,
		History:        100,
		MaxEngines:     10_000,
		SenderClock:    false,
		HeartbeatMerge: true,
		EngineMetrics:  true,
		MessageLevel:   slog.LevelInfo,
		MessageFormat:  "auto",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWorkersDefault(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for procs, want := range map[int]int{1: 1, 3: 3, 9: 4} {
		runtime.GOMAXPROCS(procs)
		if s, _, err := (Flags{}).Resolve(); err != nil || s.Workers != want {
			t.Errorf("with %d processors: %d workers, error %v; want %d", procs, s.Workers, err, want)
		}
	}
}

// TestText holds for each setting which texts are allowed, and the value of those, as written back.
func TestText(t *testing.T) {
	booleans := map[string]string{"true": "true", "True": "true", "1": "true", "yes": "true", "ON": "true",
		"false": "false", "FALSE": "false", "0": "false", "No": "false", "off": "false", " true\t": "true"}
	for _, test := range []struct {
		name    string
		allowed map[string]string
		refused []string
	}{
		{"NETWORK_MODE", map[string]string{"unicast": "unicast", "BroadCast": "broadcast", " unicast\n": "unicast"},
			[]string{"", "multicast", "uni cast"}},
		{"UDP_PORT", map[string]string{"0": "0", "1": "1", "65535": "65535", "  9999 ": "9999"},
			[]string{"", "-1", "65536", "1.0", "0x10", "1e3", "port", "1 2", "99999999999999999999", "tcp://10.0.0.1:9999"}},
		{"BIND_ADDRESS", map[string]string{"0.0.0.0": "0.0.0.0", "127.0.0.1": "127.0.0.1", "::": "::", "::1": "::1",
			"fe80::1%eth0": "fe80::1%eth0", "::ffff:10.0.0.1": "10.0.0.1"},
			[]string{"", "localhost", "224.0.0.1", "::ffff:224.0.0.1", "ff02::1", "[::1]", "1.2.3", "1.2.3.4:5", "1.2.3.4/8", "01.2.3.4"}},
		{"STALE_THRESHOLD", map[string]string{"1": "1", "86400000": "86400000"}, []string{"0", "86400001", "2s", "1.5", "-1"}},
		{"ENABLE_LOG", booleans, []string{"", "t", "2", "enabled", "ye s"}},
		{"LOG_FILE", map[string]string{"a": "a", " /x/y z.jsonl ": "/x/y z.jsonl", "-": "-"}, []string{"", "  ", "a\x00b"}},
		{"LOG_MODE", map[string]string{"644": "644", "0640": "640", "600": "600", "777": "777", "00664": "664"},
			[]string{"", "444", "588", "1644", "rw-r--r--", "0x1a4", "0o644", "-644", "400"}},
		{"LOG_SYNC_INTERVAL", map[string]string{"0": "0", "200": "200", "86400000": "86400000"}, []string{"", "-1", "1s", "86400001"}},
		{"LOG_MAX_SIZE", map[string]string{"0": "0", "1 MiB": "1 MiB", "1048577": "1048577", "1024GiB": "1024 GiB"},
			[]string{"", "1", "1048575", "0 MiB", "1025 GiB", "100M", "-1"}},
		{"LOG_KEEP", map[string]string{"0": "0", "100000": "100000"}, []string{"", "-1", "100001", "all"}},
		{"LOG_COMPRESS", map[string]string{"none": "none", "GZip": "gzip", "zstd": "zstd"}, []string{"", "gz", "zst", "true"}},
		{"LOG_MIN_FREE", map[string]string{"0": "0", "1": "1", "256 mib": "256 MiB", "1024 GiB": "1024 GiB"}, []string{"", "10%", "1025 GiB"}},
		{"HTTP_ADDRESS", map[string]string{":8080": ":8080", ":0": ":0", "127.0.0.1:1": "127.0.0.1:1", "[::1]:65535": "[::1]:65535",
			"localhost:80": "localhost:80", "a-b.example.:80": "a-b.example.:80", "[fe80::1%eth0]:80": "[fe80::1%eth0]:80"},
			[]string{"", "8080", "localhost", "localhost:", ":65536", ":-1", ":http", "::1:80", "a b:80", "http://x:80", "x/y:80", "[::1]"}},
		{"HEALTH_ADDRESS", map[string]string{"off": "off", "OFF": "off", ":8081": ":8081", "127.0.0.1:0": "127.0.0.1:0"},
			[]string{"", "8081", "no", "on", "localhost"}},
		{"WORKERS", map[string]string{"1": "1", "256": "256"}, []string{"0", "257", "auto", "min(GOMAXPROCS,4)"}},
		{"BATCH_SIZE", map[string]string{"1": "1", "1024": "1024"}, []string{"0", "1025"}},
		{"RECEIVE_BUFFER", map[string]string{"4096": "4 KiB", "4097": "4097", "4KiB": "4 KiB", "16 mib": "16 MiB",
			"1GIB": "1 GiB", "1024 MiB": "1 GiB", "1073741824": "1 GiB", "2048 KiB": "2 MiB"},
			[]string{"", "4095", "3 KiB", "1073741825", "1025 MiB", "2 GiB", "KiB", "8 MB", "8M", "1.5 MiB", "-4 KiB", "9223372036854775807 GiB"}},
		{"MAX_DATAGRAM", map[string]string{"512": "512", "65507": "65507", "63 KiB": "63 KiB"}, []string{"511", "65508", "64 KiB"}},
		{"REMOVE_AFTER", map[string]string{"1": "1", "31536000000": "31536000000"}, []string{"0", "31536000001"}},
		{"HISTORY", map[string]string{"0": "0", "100000": "100000"}, []string{"-1", "100001"}},
		{"MAX_ENGINES", map[string]string{"1": "1", "10000000": "10000000"}, []string{"0", "10000001"}},
		{"CLOCK", map[string]string{"receiver": "receiver", "Sender": "sender"}, []string{"", "true", "gateway"}},
		{"HEARTBEAT_MERGE", booleans, []string{"", "maybe"}},
		{"ENGINE_METRICS", booleans, []string{"", "some"}},
		{"MESSAGE_LEVEL", map[string]string{"debug": "debug", "INFO": "info", "Warn": "warn", "error": "error"}, []string{"", "warning", "4", "info+1"}},
		{"MESSAGE_FORMAT", map[string]string{"auto": "auto", "Text": "text", "JSON": "json"}, []string{"", "logfmt"}},
	} {
		for text, want := range test.allowed {
			s, _, err := given(t, map[string]string{test.name: text}).Resolve()
			if err != nil {
				t.Errorf("%s=%q: %v", test.name, text, err)
			} else if got := valueOf(s, test.name); got != want {
				t.Errorf("%s=%q is %q, want %q", test.name, text, got, want)
			} else if again, _, err := given(t, map[string]string{test.name: got}).Resolve(); err != nil || again != s {
				t.Errorf("%s=%q, written back as %q, is another value (error %v)", test.name, text, got, err)
			}
		}
		for _, text := range test.refused {
			s, _, err := given(t, map[string]string{test.name: text}).Resolve()
			bad, ok := errors.AsType[*ValueError](err)
			if !ok {
				t.Errorf("%s=%q is allowed as %q", test.name, text, valueOf(s, test.name))
			} else if bad.Variable != Prefix+test.name || bad.Value != text {
				t.Errorf("%s=%q: the error is about %s=%q", test.name, text, bad.Variable, bad.Value)
			}
		}
	}
}

func valueOf(s Settings, name string) string {
	for _, v := range s.Values() {
		if v.Variable == Prefix+name {
			return v.Text
		}
	}
	return "no such setting"
}

// TestTyped holds those values that are not of the type their text has.
func TestTyped(t *testing.T) {
	s, _, err := given(t, map[string]string{"CLOCK": "sender", "MESSAGE_LEVEL": "warn", "STALE_THRESHOLD": "1500",
		"RECEIVE_BUFFER": "1 MiB", "ENABLE_LOG": "no"}).Resolve()
	if err != nil || !s.SenderClock || s.MessageLevel != slog.LevelWarn || s.StaleThreshold != 1500*time.Millisecond ||
		s.ReceiveBuffer != 1<<20 || s.EnableLog {
		t.Errorf("%+v, error %v", s, err)
	}
}

func TestValueErrorIsOneLine(t *testing.T) {
	_, _, err := given(t, map[string]string{"UDP_PORT": "70000"}).Resolve()
	const want = `VLLM_STATE_GATEWAY_UDP_PORT (--udp-port): "70000" is not allowed; allowed: an integer from 0 to 65535`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, _, err = given(t, map[string]string{"CLOCK": "a\nb\x1b[31m" + strings.Repeat("é", 1000)}).Resolve()
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 300 || !strings.Contains(err.Error(), `"a\nb\x1b[31m`) {
		t.Errorf("not one short line: %q", err)
	}
}

func TestEveryBadValueIsReported(t *testing.T) {
	_, _, err := given(t, map[string]string{"UDP_PORT": "x", "WORKERS": "0", "HISTORY": "1"}).Resolve()
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want two lines, got %v", err)
	}
}

func TestBroadcast(t *testing.T) {
	for _, test := range []struct {
		texts    map[string]string
		warnings []string
	}{
		{map[string]string{}, nil},
		{map[string]string{"WORKERS": "1", "BIND_ADDRESS": "0.0.0.0"}, nil},
		{map[string]string{"WORKERS": "2"}, []string{
			"VLLM_STATE_GATEWAY_WORKERS (--workers): 2 has no effect in broadcast mode, which always has one socket"}},
		{map[string]string{"WORKERS": "3", "BIND_ADDRESS": "::1"}, []string{
			"VLLM_STATE_GATEWAY_WORKERS (--workers): 3 has no effect in broadcast mode, which always has one socket",
			"VLLM_STATE_GATEWAY_BIND_ADDRESS (--bind-address): ::1 has no effect in broadcast mode, which always receives on every IPv4 interface"}},
	} {
		test.texts["NETWORK_MODE"] = "broadcast"
		s, warnings, err := given(t, test.texts).Resolve()
		if err != nil || s.Workers != 1 || s.BindAddress != netip.IPv4Unspecified() || s.NetworkMode != Broadcast {
			t.Errorf("%v: %+v, error %v", test.texts, s, err)
		}
		if !slices.Equal(warnings, test.warnings) {
			t.Errorf("%v:\ngot  %q\nwant %q", test.texts, warnings, test.warnings)
		}
	}
}
