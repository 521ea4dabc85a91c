// Command peers drives the gateway, the null sink and other programs that receive datagrams with the same load over
// the loopback interface, each as a process of its own, and measures each in the same way:
//
//   - CPU time: the process's own clock (clock_getcpuclockid(3)), which is utime + stime of /proc/PID/stat in ns instead
//     of ticks of 10 ms, all threads;
//   - delivery: InDatagrams and RcvbufErrors of /proc/net/snmp, so nothing else may use UDP meanwhile: bench/peers/run
//     gives it a network namespace of its own where it may;
//   - what was handled: lines in the output file, or what the program counts as handled, of all that was delivered to
//     it. CPU time per datagram is per one handled: throwing away is cheap and no merit.
//
// CPU time and datagrams are counted from the end of the warm-up until the subject has worked off what it had queued;
// datagrams/s and drops are those of the slice in which the load ran undisturbed.
//
// Linux only. bench/peers/run builds and fetches what it needs and starts it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	out                                        string
	gateway, gatewayVersion                    string
	rsyslogd, rsyslogModules, rsyslogLibraries string
	statsdExporter, telegraf                   string
	directory, fileSystem                      string
	loads                                      []string
	only                                       string
	engines, rounds                            int
	warmUp, slice                              time.Duration
}

func main() {
	// Children die with the thread that started them (Pdeathsig): it has to be one that lives as long as this process.
	runtime.LockOSThread()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "null-sink":
			return beNullSink(os.Args[2:])
		case "send-statsd":
			return sendStatsd(os.Args[2:])
		}
	}
	var o options
	var loads string
	flag.StringVar(&o.out, "out", "", "file that the measurements are appended to, a line of JSON each")
	flag.StringVar(&o.gateway, "gateway", "", "the state-gateway binary: a subject, and the sender")
	flag.StringVar(&o.gatewayVersion, "gateway-version", "", "its version")
	flag.StringVar(&o.rsyslogd, "rsyslogd", "", "rsyslogd, or empty")
	flag.StringVar(&o.rsyslogModules, "rsyslog-modules", "", "folder of its modules, unless it is the usual one")
	flag.StringVar(&o.rsyslogLibraries, "rsyslog-libraries", "", "folder of its libraries, unless it is the usual one")
	flag.StringVar(&o.statsdExporter, "statsd-exporter", "", "statsd_exporter, or empty")
	flag.StringVar(&o.telegraf, "telegraf", "", "telegraf, or empty")
	flag.StringVar(&o.directory, "dir", os.TempDir(), "folder for the logs, some GB while it runs")
	flag.StringVar(&o.fileSystem, "file-system", "", "its kind, for the record")
	flag.StringVar(&loads, "loads", "max,5000", "datagrams/s, by commas; max is as many as one sender can send")
	flag.StringVar(&o.only, "only", "", "measure only subjects with one of these words in their names, by commas, and the null sink")
	flag.IntVar(&o.engines, "engines", 1000, "engines that the states are of")
	flag.IntVar(&o.rounds, "rounds", 6, "measurements of each subject under each load")
	flag.DurationVar(&o.warmUp, "warm-up", time.Second, "time under load before each measurement")
	flag.DurationVar(&o.slice, "slice", 3*time.Second, "time of each measurement")
	flag.Parse()
	if o.out == "" || o.gateway == "" || flag.NArg() > 0 {
		return errors.New("-out and -gateway are needed, and no other arguments")
	}
	o.loads = strings.Split(loads, ",")

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	subjects := makeSubjects(o)
	// The most that a measurement takes: the subject's start, warm-up, slice, working off its queue, its stop.
	most := startLimit + o.warmUp + o.slice + settleLimit + 2*stopLimit
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.rounds*len(o.loads)*len(subjects))*most)
	defer cancel()
	return measureAll(ctx, o, subjects)
}

// measureAll measures every subject under every load, round by round, every other round backwards, so that a drift of
// the machine concerns all of them alike.
func measureAll(ctx context.Context, o options, subjects []subject) error {
	out, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	base := record{
		Run: time.Now().UTC().Format(time.RFC3339), Machine: machine(), Kernel: kernel(), Go: runtime.Version(),
		FileSystem: o.fileSystem, Engines: o.engines,
	}
	failed := 0
	for round := range o.rounds {
		order := slices.Clone(subjects)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, load := range o.loads {
			for _, s := range order {
				r := base
				r.Date, r.Round, r.Load = time.Now().UTC().Format(time.RFC3339), round+1, load
				r.Subject, r.Version, r.Bytes = s.name, s.version, s.bytes()
				if err := measure(ctx, o, s, &r); ctx.Err() != nil {
					return context.Cause(ctx)
				} else if err != nil {
					failed++
					fmt.Fprintf(os.Stderr, "peers: %s under %s: %v\n", s.name, load, err)
					continue
				}
				line, err := json.Marshal(r)
				if err != nil {
					return err
				}
				if _, err := out.Write(append(line, '\n')); err != nil {
					return err
				}
				fmt.Fprintf(os.Stderr, "%d/%d %6s/s  %-28s %8.0f ns CPU a datagram  %9.0f/s  dropped %4.1f %%  handled %5.1f %%\n",
					r.Round, o.rounds, load, s.name, r.CPUPerDatagram, r.Rate, r.DropPercent, 100*r.Handled)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d measurements failed", failed)
	}
	return nil
}

// record is one measurement, a line of the results.
type record struct {
	Run            string  `json:"run"` // when the whole run began: the same for all its records
	Date           string  `json:"date"`
	Machine        string  `json:"machine"`
	Kernel         string  `json:"kernel"`
	Go             string  `json:"go"`
	FileSystem     string  `json:"file_system"`
	Subject        string  `json:"subject"`
	Version        string  `json:"version"`
	Load           string  `json:"load"` // datagrams/s, or max
	Engines        int     `json:"engines"`
	Bytes          int     `json:"bytes"` // of a datagram
	Round          int     `json:"round"`
	Seconds        float64 `json:"seconds"`          // of the slice
	Received       uint64  `json:"received"`         // in the slice
	KernelDropped  uint64  `json:"kernel_dropped"`   // in the slice
	CPU            int64   `json:"cpu_ns"`           // from the slice's begin until all was worked off
	CPUDatagrams   uint64  `json:"cpu_datagrams"`    // received in that time
	Handled        float64 `json:"handled"`          // share of all that was received
	CPUPerDatagram float64 `json:"cpu_ns_per_dgram"` // handled
	Rate           float64 `json:"dgram_per_s"`      // received, in the slice
	DropPercent    float64 `json:"drop_percent"`     // by the kernel, in the slice
}

// rate returns the datagrams/s of a load, 0 for max.
func rate(load string) (float64, error) {
	if load == "max" {
		return 0, nil
	}
	return strconv.ParseFloat(load, 64)
}
