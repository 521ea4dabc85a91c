package config

import (
	"log/slog"
	"net/netip"
	"os"
	"time"
)

// NetworkMode says how engines address their datagrams.
type NetworkMode string

const (
	Unicast   NetworkMode = "unicast"   // to the gateway
	Broadcast NetworkMode = "broadcast" // to the subnet, with copies to the loopback addresses
)

// Settings are the values that the program runs by, all within their limits. A plain value: copy it freely.
type Settings struct {
	NetworkMode     NetworkMode
	UDPPort         uint16        // 0 = a free one
	BindAddress     netip.Addr    // never IPv4-mapped; 0.0.0.0 = every interface, and in broadcast mode always that
	StaleThreshold  time.Duration // whole milliseconds
	EnableLog       bool
	LogFile         string        // never empty
	LogMode         os.FileMode   // permissions only
	LogSyncInterval time.Duration // 0 = no regular syncs
	LogMaxSize      int           // bytes; 0 = no rotation by the gateway
	LogKeep         int           // rotated files; 0 = all
	LogCompress     string        // none, gzip or zstd
	LogMinFree      int           // bytes; 0 = none
	HTTPAddress     string        // host:port, the host possibly empty, the port a number and possibly 0
	HealthAddress   string        // the same; empty = none
	Workers         int           // 1 in broadcast mode
	BatchSize       int           // datagrams
	ReceiveBuffer   int           // bytes, per socket
	MaxDatagram     int           // bytes
	RemoveAfter     time.Duration
	History         int  // states per engine; 0 = none
	MaxEngines      int  //
	SenderClock     bool // CLOCK=sender: age by the states' timestamps
	HeartbeatMerge  bool
	EngineMetrics   bool
	MessageLevel    slog.Level
	MessageFormat   string // auto, text or json
}

// Value is one setting as it is in force.
type Value struct {
	Variable string // VLLM_STATE_GATEWAY_UDP_PORT
	Flag     string // udp-port
	Text     string // as one would write it
}

// Values returns every setting of s in the order of the table.
func (s Settings) Values() []Value {
	var values []Value
	for _, d := range definitions(&s) {
		values = append(values, Value{d.variable, d.flag, d.kind.text()})
	}
	return values
}
