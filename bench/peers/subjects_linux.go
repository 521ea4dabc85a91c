package main

import (
	"bufio"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/elrar/state-gateway/internal/traffic"
)

// subject is a program that receives datagrams.
type subject struct {
	name, version string
	gauges        int // statsd gauges a datagram; 0 = JSON
	start         func(place) (*exec.Cmd, handled, error)
}

// place is where a subject runs: its ports on the loopback interface, and an empty folder.
type place struct {
	udp, http int
	dir       string
}

// handled is what a subject says of its work.
type handled struct {
	count func() (uint64, error) // datagrams handled so far, while it runs; nil = all that were delivered
	file  string                 // output, if any: a line for each datagram handled, complete when it has stopped
}

func (s subject) bytes() int {
	if s.gauges > 0 {
		return len(statsdDatagram(0, s.gauges))
	}
	return traffic.DatagramSize
}

const nullSinkName = "null sink"

// makeSubjects returns the subjects that there are.
func makeSubjects(o options) []subject {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	all := []subject{
		{name: nullSinkName, version: o.gatewayVersion, start: func(p place) (*exec.Cmd, handled, error) {
			return exec.Command(self, "null-sink", "-port", strconv.Itoa(p.udp)), handled{}, nil
		}},
		{name: "gateway, log off", version: o.gatewayVersion, start: startGateway(o, false)},
		{name: "gateway, log on", version: o.gatewayVersion, start: startGateway(o, true)},
	}
	if o.statsdExporter != "" {
		for _, gauges := range []int{1, 5} {
			name := fmt.Sprintf("statsd_exporter, %d gauge", gauges)
			if gauges > 1 {
				name += "s"
			}
			all = append(all, subject{name: name, version: moduleVersion(o.statsdExporter), gauges: gauges, start: startStatsdExporter(o, gauges)})
		}
	}
	if o.rsyslogd != "" {
		all = append(all,
			subject{name: "rsyslog to a file, tuned", version: rsyslogVersion(o), start: startRsyslog(o, rsyslogTuned)},
			subject{name: "rsyslog to a file", version: rsyslogVersion(o), start: startRsyslog(o, rsyslogUsual)})
	}
	if o.telegraf != "" {
		all = append(all, subject{name: "telegraf to a file", version: moduleVersion(o.telegraf), start: startTelegraf(o)})
	}
	if o.only == "" {
		return all
	}
	var some []subject
	for _, s := range all {
		wanted := s.name == nullSinkName
		for word := range strings.SplitSeq(o.only, ",") {
			wanted = wanted || strings.Contains(s.name, word)
		}
		if wanted {
			some = append(some, s)
		}
	}
	return some
}

func startGateway(o options, log bool) func(place) (*exec.Cmd, handled, error) {
	return func(p place) (*exec.Cmd, handled, error) {
		http := fmt.Sprintf("127.0.0.1:%d", p.http)
		cmd := exec.Command(o.gateway, "serve", "--bind-address", "127.0.0.1", "--udp-port", strconv.Itoa(p.udp),
			"--http-address", http, "--workers", "1", "--receive-buffer", strconv.Itoa(receiveBuffer),
			"--max-engines", strconv.Itoa(max(10_000, o.engines)),
			"--enable-log", strconv.FormatBool(log), "--log-file", filepath.Join(p.dir, "engine_states.jsonl"))
		count := func() (uint64, error) {
			var stats struct {
				Applied, Logged, Duplicate uint64
			}
			if err := getJSON("http://"+http+"/stats", &stats); err != nil {
				return 0, err
			}
			if log {
				return stats.Logged, nil
			}
			return stats.Applied, nil
		}
		return cmd, handled{count: count}, nil
	}
}

// startStatsdExporter runs it with its usual settings but for the receive buffer, which it cannot raise beyond the
// system's limit.
func startStatsdExporter(o options, gauges int) func(place) (*exec.Cmd, handled, error) {
	return func(p place) (*exec.Cmd, handled, error) {
		http := fmt.Sprintf("127.0.0.1:%d", p.http)
		cmd := exec.Command(o.statsdExporter, fmt.Sprintf("--statsd.listen-udp=127.0.0.1:%d", p.udp), "--statsd.listen-tcp=",
			"--web.listen-address="+http, fmt.Sprintf("--statsd.read-buffer=%d", receiveBuffer))
		count := func() (uint64, error) {
			lines, err := metric("http://"+http+"/metrics", "statsd_exporter_lines_total")
			return uint64(lines) / uint64(gauges), err
		}
		return cmd, handled{count: count}, nil
	}
}

// How rsyslog writes: with its usual line, which begins with the time and the sender, handed to the kernel after each
// batch of its queue; or just the datagram as it came, by a thread of its own with a large buffer.
const (
	rsyslogUsual = ``
	rsyslogTuned = `template="raw" asyncWriting="on" flushInterval="1" flushOnTXEnd="off" ioBufferSize="256k"`
)

// startRsyslog runs rsyslog from UDP to a file, a line for each datagram. It does not parse JSON.
func startRsyslog(o options, how string) func(place) (*exec.Cmd, handled, error) {
	return func(p place) (*exec.Cmd, handled, error) {
		file := filepath.Join(p.dir, "rsyslog.jsonl")
		conf, err := writeFile(p.dir, "rsyslog.conf", fmt.Sprintf(`
global(workDirectory=%q net.enableDNS="off")
module(load="imudp" batchSize="64")
template(name="raw" type="string" string="%%rawmsg%%\n")
input(type="imudp" address="127.0.0.1" port="%d" rcvbufSize="%d")
action(type="omfile" file=%q %s)
`, p.dir, p.udp, receiveBuffer, file, how))
		if err != nil {
			return nil, handled{}, err
		}
		args := []string{"-n", "-x", "-f", conf, "-i", filepath.Join(p.dir, "rsyslog.pid")}
		if o.rsyslogModules != "" {
			args = append(args, "-M", o.rsyslogModules)
		}
		cmd := exec.Command(o.rsyslogd, args...)
		cmd.Env = rsyslogEnvironment(o)
		return cmd, handled{file: file}, nil
	}
}

func rsyslogEnvironment(o options) []string {
	if o.rsyslogLibraries == "" {
		return nil
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+o.rsyslogLibraries)
}

// startTelegraf runs telegraf from UDP through its JSON parser to a file of JSON.
func startTelegraf(o options) func(place) (*exec.Cmd, handled, error) {
	return func(p place) (*exec.Cmd, handled, error) {
		file := filepath.Join(p.dir, "telegraf.jsonl")
		conf, err := writeFile(p.dir, "telegraf.conf", fmt.Sprintf(`
[agent]
  interval = "10s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 1000000
  omit_hostname = true
  quiet = true
[[inputs.socket_listener]]
  service_address = "udp4://127.0.0.1:%d"
  read_buffer_size = "%dB"
  data_format = "json"
  tag_keys = ["engine_id"]
  json_string_fields = ["scheduling_mode"]
  json_time_key = "timestamp_ms"
  json_time_format = "unix_ms"
[[outputs.file]]
  files = [%q]
  data_format = "json"
`, p.udp, receiveBuffer, file))
		if err != nil {
			return nil, handled{}, err
		}
		return exec.Command(o.telegraf, "--config", conf), handled{file: file}, nil
	}
}

func writeFile(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// moduleVersion returns the version of the module that a Go binary was built from.
func moduleVersion(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return info.Main.Version
}

// rsyslogVersion returns the second word of rsyslogd's first line, "rsyslogd  8.2302.0 (aka 2023.02) compiled with:".
func rsyslogVersion(o options) string {
	cmd := exec.Command(o.rsyslogd, "-v")
	cmd.Env = rsyslogEnvironment(o)
	out, err := cmd.Output()
	if fields := strings.Fields(string(out)); err == nil && len(fields) > 1 {
		return fields[1]
	}
	return "unknown"
}

func getJSON(url string, v any) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(v)
}

// metric returns the value of a metric without labels.
func metric(url, name string) (float64, error) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", url, name)
}
