package config

// Prefix begins the name of every environment variable that is a setting, or a client's.
const Prefix = "VLLM_STATE_GATEWAY_"

// Flags are the settings as texts, for kong to fill from the command line and the environment; embed it in a command.
// Nil means not given, so the zero Flags stand for the defaults. The placeholder tag is the default, which kong shows in
// its help; a kong default tag would hide whether the setting was given. A flag is named as its variable is. An
// offline tag is on the settings that have an effect where captured traffic is run without a gateway.
type Flags struct {
	NetworkMode     *string `env:"VLLM_STATE_GATEWAY_NETWORK_MODE" offline:"" placeholder:"unicast" help:"How engines send: each to the gateway's address, or to everybody on the subnet."`
	UDPPort         *string `env:"VLLM_STATE_GATEWAY_UDP_PORT" placeholder:"9999" help:"Port that receives the states; 0 takes a free one and says which."`
	BindAddress     *string `env:"VLLM_STATE_GATEWAY_BIND_ADDRESS" placeholder:"0.0.0.0" help:"Address that receives the states; 0.0.0.0 is every interface, IPv6 ones too. Not used in broadcast mode, which receives on every IPv4 interface."`
	StaleThreshold  *string `env:"VLLM_STATE_GATEWAY_STALE_THRESHOLD" offline:"" placeholder:"2000" help:"Milliseconds without news after which a state is stale."`
	EnableLog       *string `env:"VLLM_STATE_GATEWAY_ENABLE_LOG" offline:"" placeholder:"true" help:"Write the state log."`
	LogFile         *string `env:"VLLM_STATE_GATEWAY_LOG_FILE" offline:"" placeholder:"engine_states.jsonl" help:"File of the state log; new states are appended."`
	LogMode         *string `env:"VLLM_STATE_GATEWAY_LOG_MODE" offline:"" placeholder:"644" help:"Permissions of a state log that the gateway creates."`
	LogSyncInterval *string `env:"VLLM_STATE_GATEWAY_LOG_SYNC_INTERVAL" placeholder:"0" help:"Milliseconds between syncs of the state log to the disk, which bound what a power failure can take; 0 syncs only when a file is left."`
	LogMaxSize      *string `env:"VLLM_STATE_GATEWAY_LOG_MAX_SIZE" placeholder:"0" help:"Size at which the gateway itself rotates the state log, for those without logrotate; 0 never does."`
	LogKeep         *string `env:"VLLM_STATE_GATEWAY_LOG_KEEP" placeholder:"7" help:"Files kept that the gateway has rotated; 0 keeps all."`
	LogCompress     *string `env:"VLLM_STATE_GATEWAY_LOG_COMPRESS" placeholder:"none" help:"Compression of the files that the gateway has rotated."`
	LogMinFree      *string `env:"VLLM_STATE_GATEWAY_LOG_MIN_FREE" placeholder:"256 MiB" help:"Free space on its disk below which the state log stops, and its states are counted as dropped; 0 writes until the disk is full."`

	HTTPFlag

	Workers        *string `env:"VLLM_STATE_GATEWAY_WORKERS" placeholder:"min(GOMAXPROCS,4)" help:"Sockets that receive, one reader each. In broadcast mode always 1."`
	BatchSize      *string `env:"VLLM_STATE_GATEWAY_BATCH_SIZE" placeholder:"64" help:"Most datagrams that a reader takes from its socket at once."`
	ReceiveBuffer  *string `env:"VLLM_STATE_GATEWAY_RECEIVE_BUFFER" placeholder:"8 MiB" help:"Kernel buffer asked for, per socket; the kernel may grant less, which is said at start."`
	MaxDatagram    *string `env:"VLLM_STATE_GATEWAY_MAX_DATAGRAM" offline:"" placeholder:"4096" help:"Longest datagram accepted; a longer one is counted and dropped."`
	RemoveAfter    *string `env:"VLLM_STATE_GATEWAY_REMOVE_AFTER" offline:"" placeholder:"300000" help:"Milliseconds of silence after which an engine is removed with its history and metrics."`
	History        *string `env:"VLLM_STATE_GATEWAY_HISTORY" placeholder:"100" help:"States kept per engine for /v1/history; 0 keeps none."`
	MaxEngines     *string `env:"VLLM_STATE_GATEWAY_MAX_ENGINES" offline:"" placeholder:"10000" help:"Most engines held; a further one takes the place of the longest stale one, or of one that has sent a single state, or is rejected."`
	Clock          *string `env:"VLLM_STATE_GATEWAY_CLOCK" offline:"" placeholder:"receiver" help:"What a state's age is counted by: receiver is the time since its arrival here, sender the difference to its own timestamp, as the first gateway had it."`
	HeartbeatMerge *string `env:"VLLM_STATE_GATEWAY_HEARTBEAT_MERGE" offline:"" placeholder:"true" help:"A heartbeat keeps an engine alive without wiping its last values; with false it is a state like any other."`
	EngineMetrics  *string `env:"VLLM_STATE_GATEWAY_ENGINE_METRICS" placeholder:"true" help:"Give /metrics some ten series for each engine; with false it has the gateway's own only."`
	MessageLevel   *string `env:"VLLM_STATE_GATEWAY_MESSAGE_LEVEL" placeholder:"info" help:"Least level of the gateway's own messages."`
	MessageFormat  *string `env:"VLLM_STATE_GATEWAY_MESSAGE_FORMAT" placeholder:"auto" help:"Form of the gateway's own messages; auto is text on a terminal and JSON elsewhere."`
}

// HTTPFlag is the settings that a command asking a running gateway needs as well.
type HTTPFlag struct {
	HTTPAddress   *string `env:"VLLM_STATE_GATEWAY_HTTP_ADDRESS" placeholder:":8080" help:"Address of the HTTP interface; port 0 takes a free one and says which."`
	HealthAddress *string `env:"VLLM_STATE_GATEWAY_HEALTH_ADDRESS" placeholder:"off" help:"Further address that answers /livez, /readyz, /metrics and /version only: probes and scrapers there are answered however many clients the HTTP address has."`
}
