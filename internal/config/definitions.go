package config

import (
	"log/slog"
	"reflect"
	"strings"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30

	day = 24 * time.Hour
)

// definition is all there is to know of one setting, bound to its place in a Settings.
type definition struct {
	variable string // VLLM_STATE_GATEWAY_UDP_PORT
	flag     string // udp-port
	preset   string // the default, as one would write it; that of WORKERS is a formula
	meaning  string
	field    []int // where Flags has it
	kind     kind
}

// definitions returns every setting, bound to s, in the order of Flags.
func definitions(s *Settings) []definition {
	kinds := map[string]kind{ // by the name of the field in Flags
		"NetworkMode":     choice[NetworkMode]{&s.NetworkMode, []option[NetworkMode]{{"unicast", Unicast}, {"broadcast", Broadcast}}},
		"UDPPort":         integer(&s.UDPPort, 0, 65535),
		"BindAddress":     address{&s.BindAddress},
		"StaleThreshold":  milliseconds(&s.StaleThreshold, time.Millisecond, day),
		"EnableLog":       boolean(&s.EnableLog),
		"LogFile":         path{&s.LogFile},
		"LogMode":         permissions{&s.LogMode},
		"LogSyncInterval": milliseconds(&s.LogSyncInterval, 0, day),
		"LogMaxSize":      sizeOrOff{size{&s.LogMaxSize, mib, 1024 * gib}},
		"LogKeep":         integer(&s.LogKeep, 0, 100_000),
		"LogCompress":     choice[string]{&s.LogCompress, []option[string]{{"none", "none"}, {"gzip", "gzip"}, {"zstd", "zstd"}}},
		"LogMinFree":      size{&s.LogMinFree, 0, 1024 * gib},
		"HTTPAddress":     hostPort{&s.HTTPAddress},
		"HealthAddress":   hostPortOrOff{hostPort{&s.HealthAddress}},
		"Workers":         integer(&s.Workers, 1, 256),
		"BatchSize":       integer(&s.BatchSize, 1, 1024),
		"ReceiveBuffer":   size{&s.ReceiveBuffer, 4 * kib, gib},
		"MaxDatagram":     size{&s.MaxDatagram, 512, 65507}, // 65535 less the IPv4 and UDP headers
		"RemoveAfter":     milliseconds(&s.RemoveAfter, time.Millisecond, 365*day),
		"History":         integer(&s.History, 0, 100_000),
		"MaxEngines":      integer(&s.MaxEngines, 1, 10_000_000),
		"Clock":           choice[bool]{&s.SenderClock, []option[bool]{{"receiver", false}, {"sender", true}}},
		"HeartbeatMerge":  boolean(&s.HeartbeatMerge),
		"EngineMetrics":   boolean(&s.EngineMetrics),
		"MessageLevel": choice[slog.Level]{&s.MessageLevel, []option[slog.Level]{
			{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}}},
		"MessageFormat": choice[string]{&s.MessageFormat, []option[string]{{"auto", "auto"}, {"text", "text"}, {"json", "json"}}},
	}
	var all []definition
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Flags]()) {
		if field.Anonymous {
			continue
		}
		variable := field.Tag.Get("env")
		all = append(all, definition{
			variable: variable,
			flag:     strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, Prefix), "_", "-")),
			preset:   field.Tag.Get("placeholder"),
			meaning:  field.Tag.Get("help"),
			field:    field.Index,
			kind:     kinds[field.Name],
		})
	}
	return all
}
