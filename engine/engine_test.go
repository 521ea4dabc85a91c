package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	any4      = netip.IPv4Unspecified()
	any6      = netip.IPv6Unspecified()
)

func config(change func(*Config)) Config {
	c := Config{Address: loopback4, Workers: 1, BatchSize: 8, MaxDatagram: 512, ReceiveBuffer: 1 << 20}
	if change != nil {
		change(&c)
	}
	return c
}

// recorder keeps what its reader was handed.
type recorder struct {
	mu       sync.Mutex
	payloads []string
	sources  []netip.AddrPort
	misfits  []int // sizes
}

func (r *recorder) HandleMisfit(_ time.Time, source netip.AddrPort, payload []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.misfits = append(r.misfits, len(payload))
	r.sources = append(r.sources, source)
}

func (r *recorder) HandleBatch(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range b.Len() {
		r.payloads = append(r.payloads, string(b.Payload(i)))
		r.sources = append(r.sources, b.Source(i))
	}
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.payloads...)
}

// running is an engine that runs for the length of a test.
type running struct {
	*Engine
	records []*recorder
	stop    func() error // stops it and returns Run's error; may be called again
}

func start(t *testing.T, cfg Config) *running {
	t.Helper()
	e, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Engine: e}
	for range e.Workers() {
		r.records = append(r.records, &recorder{})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, func(i int) Handler { return r.records[i] }) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, e.Close())
	})
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) await(t *testing.T, what string, holds func(Counters) bool) Counters {
	t.Helper()
	var c Counters
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if c = r.Counters(); holds(c) {
			return c
		}
	}
	t.Fatalf("%s: not within 10 s; counters %+v", what, c)
	return c
}

func (r *running) awaitReceived(t *testing.T, n uint64) Counters {
	t.Helper()
	return r.await(t, fmt.Sprintf("%d received", n), func(c Counters) bool { return c.Received >= n })
}

func dial(t *testing.T, host string, port uint16) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c *net.UDPConn, payload string) {
	t.Helper()
	if _, err := c.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func TestPayloadsSourcesAndCounters(t *testing.T) {
	r := start(t, config(nil))
	c := dial(t, "127.0.0.1", r.Address().Port())
	large, exact := string(make([]byte, 513)), string(make([]byte, 512))
	for _, p := range []string{"one", "", large, exact, "two"} {
		send(t, c, p)
	}
	got := r.awaitReceived(t, 5)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if seen, want := r.records[0].seen(), []string{"one", exact, "two"}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("handed over %q, want %q", seen, want)
	}
	if fmt.Sprint(r.records[0].misfits) != "[0 512]" { // the second one cut
		t.Errorf("misfits of %v bytes", r.records[0].misfits)
	}
	if got.Empty != 1 || got.TooLarge != 1 || got.Received != 5 || got.Unicast != 5 || got.Bytes != 3+512+512+3 || got.Broadcast != 0 {
		t.Errorf("counters %+v", got)
	}
	if age := time.Since(time.Unix(0, got.LastReceived)); age < 0 || age > time.Minute {
		t.Errorf("last received %v ago", age)
	}
	local := c.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, s := range r.records[0].sources {
		if s != local {
			t.Errorf("source %v, want %v", s, local)
		}
	}
}

// A reader that used the slots of an earlier, larger batch would hand over old datagrams again.
func TestBatchesOfDifferentSizes(t *testing.T) {
	r := start(t, config(nil))
	c := dial(t, "127.0.0.1", r.Address().Port())
	var want []string
	for i := range 40 {
		for k := range i%9 + 1 {
			want = append(want, fmt.Sprintf("%d/%d", i, k))
			send(t, c, want[len(want)-1])
		}
		r.awaitReceived(t, uint64(len(want)))
	}
	if seen := r.records[0].seen(); fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("handed over %q", seen)
	}
}

func TestWildcardHearsBothFamilies(t *testing.T) {
	r := start(t, config(func(c *Config) { c.Address = any4; c.Workers = 2 }))
	four := dial(t, "127.0.0.1", r.Address().Port())
	send(t, four, "four")
	want := uint64(1)
	if haveIPv6() {
		send(t, dial(t, "::1", r.Address().Port()), "six")
		want = 2
	} else {
		t.Log("this machine has no IPv6 loopback: only IPv4 is tested")
	}
	r.awaitReceived(t, want)
	r.stop()
	for _, rec := range r.records {
		for i, p := range rec.payloads {
			if wrong := rec.sources[i].Addr().Is4In6() || (p == "four") != rec.sources[i].Addr().Is4(); wrong {
				t.Errorf("%s came from %v", p, rec.sources[i])
			}
		}
	}
}

func TestConcreteIPv6Address(t *testing.T) {
	if !haveIPv6() {
		t.Skip("this machine has no IPv6 loopback")
	}
	r := start(t, config(func(c *Config) { c.Address = netip.IPv6Loopback(); c.Workers = 2 }))
	send(t, dial(t, "::1", r.Address().Port()), "six")
	r.awaitReceived(t, 1)
}

func haveIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err == nil {
		c.Close()
	}
	return err == nil
}

// A second gateway must not get a share of the flows, whatever its own settings.
func TestSecondEngineIsRefused(t *testing.T) {
	for _, workers := range []int{1, 4} {
		r := start(t, config(func(c *Config) { c.Address = any4; c.Workers = workers }))
		for _, second := range []Config{
			config(func(c *Config) { c.Address = any4; c.Workers = 4; c.Port = r.Address().Port() }),
			config(func(c *Config) { c.Address = any4; c.Workers = 1; c.Port = r.Address().Port() }),
			config(func(c *Config) { c.Workers = 4; c.Port = r.Address().Port() }),
			config(func(c *Config) { c.Broadcast = true; c.Port = r.Address().Port() }),
		} {
			e, err := Listen(second)
			if err == nil {
				e.Close()
			}
			if !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%d workers, second %+v: %v", workers, second, err)
			}
		}
		if runtime.GOOS == "linux" && r.Workers() != workers {
			t.Errorf("%d workers, want %d", r.Workers(), workers)
		}
		c := dial(t, "127.0.0.1", r.Address().Port())
		send(t, c, "still mine")
		r.awaitReceived(t, 1)
	}
}

func TestForeignAddress(t *testing.T) {
	cfg := config(func(c *Config) { c.Address = netip.MustParseAddr("192.0.2.1") }) // TEST-NET-1: nobody's
	e, err := Listen(cfg)
	if err == nil {
		e.Close()
	}
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("got %v", err)
	}
}

// Every flow stays with one reader, and several flows use several readers.
func TestFlowsAreSpread(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux balances flows over sockets")
	}
	r := start(t, config(func(c *Config) { c.Workers = 4 }))
	const flows, each = 64, 5
	for f := range flows {
		c := dial(t, "127.0.0.1", r.Address().Port())
		for range each {
			send(t, c, fmt.Sprint(f))
		}
	}
	r.awaitReceived(t, flows*each)
	home, used := map[string]int{}, 0
	for i, rec := range r.records {
		seen := rec.seen()
		if len(seen) > 0 {
			used++
		}
		for _, f := range seen {
			if first, known := home[f]; known && first != i {
				t.Errorf("flow %s went to readers %d and %d", f, first, i)
			}
			home[f] = i
		}
	}
	if used < 2 { // 64 flows all hashed to one of four sockets: 4^-63
		t.Errorf("%d flows used %d readers", flows, used)
	}
}

// What the kernel dropped is counted even if nothing arrives afterwards, and everything sent is accounted for.
func TestKernelDropsAreCounted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SO_MEMINFO is Linux's")
	}
	e, err := Listen(config(func(c *Config) { c.ReceiveBuffer = 4096 }))
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, "127.0.0.1", e.Address().Port())
	const sent = 1000
	for range sent { // nobody reads yet
		send(t, c, "a datagram that waits in vain for the most part")
	}
	dropped := e.KernelDrops()[0]
	if dropped == 0 || dropped >= sent {
		t.Errorf("%d of %d dropped", dropped, sent)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // run only drains
	if err := e.Run(ctx, func(int) Handler { return &recorder{} }); err != nil {
		t.Fatal(err)
	}
	if got := e.Counters().Received + e.KernelDrops()[0]; got != sent {
		t.Errorf("received + dropped = %d, want %d", got, sent)
	}
	e.Close()
	if after := e.KernelDrops()[0]; after != dropped {
		t.Errorf("%d drops after Close, %d before", after, dropped)
	}
}

func TestDropCounterWrapsAround(t *testing.T) {
	d := dropCounter{}
	for _, step := range []struct {
		now   uint32
		total uint64
	}{{5, 5}, {5, 5}, {1<<32 - 1, 1<<32 - 1}, {3, 1<<32 + 3}, {2, 2<<32 + 2}} {
		if d.advance(step.now); d.total != step.total {
			t.Errorf("at %d: total %d, want %d", step.now, d.total, step.total)
		}
	}
}

func TestReceiveBufferIsReadBack(t *testing.T) {
	r := start(t, config(func(c *Config) { c.ReceiveBuffer = 64 << 10; c.Workers = 2 }))
	for _, granted := range r.ReceiveBuffers() {
		if granted != 64<<10 {
			t.Errorf("granted %d", granted)
		}
	}
}

// Nothing that the kernel had queued is lost by a stop, and a stop under endless traffic ends.
func TestStopDrains(t *testing.T) {
	e, err := Listen(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := dial(t, "127.0.0.1", e.Address().Port())
	const sent = 300
	for i := range sent {
		send(t, c, fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rec := &recorder{}
	if err := e.Run(ctx, func(int) Handler { return rec }); err != nil {
		t.Fatal(err)
	}
	if got := uint64(len(rec.seen())) + e.KernelDrops()[0]; got != sent {
		t.Errorf("%d of %d accounted for", got, sent)
	}
	if e.Live(time.Minute) == nil {
		t.Error("stopped readers count as alive")
	}
}

// fakeReceiver returns what its script says, then blocks until the test ends.
type fakeReceiver struct {
	script []any // int: a batch of that many; error: that
	reader *reader
	ended  chan struct{}

	broadcast bool // all it returns
}

func (f *fakeReceiver) Receive(wait bool) (int, error) {
	if len(f.script) == 0 {
		if f.reader.stopping.Load() {
			if wait {
				return 0, os.ErrDeadlineExceeded
			}
			return 0, nil
		}
		<-f.ended
		return 0, os.ErrDeadlineExceeded
	}
	next := f.script[0]
	f.script = f.script[1:]
	if err, failed := next.(error); failed {
		return 0, err
	}
	return next.(int), nil
}

func (f *fakeReceiver) Payload(i int) []byte        { return []byte{byte('a' + i)} }
func (f *fakeReceiver) Source(int) netip.AddrPort   { return netip.AddrPort{} }
func (f *fakeReceiver) Broadcast(int) bool          { return f.broadcast }
func (f *fakeReceiver) Arrival(int) int64           { return 0 }
func (f *fakeReceiver) ReadAt() time.Time           { return time.Now() }
func (f *fakeReceiver) Truncated(int) bool          { return false }
func (f *fakeReceiver) arm(r *reader) *fakeReceiver { f.reader = r; return f }

// A partial batch is handed over as what it is, and errors in between are counted and got over.
func TestReaderRecovers(t *testing.T) {
	e, err := Listen(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	fake := (&fakeReceiver{script: []any{3, syscall.ENOBUFS, syscall.EIO, 1, syscall.ENOMEM, 8}, ended: make(chan struct{})}).arm(e.readers[0])
	e.readers[0].recv, e.readers[0].batch.from = fake, fake
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rec, done := &recorder{}, make(chan error, 1)
	go func() { done <- e.Run(ctx, func(int) Handler { return rec }) }()
	r := &running{Engine: e}
	r.awaitReceived(t, 12)
	if got := e.Counters().ReadErrors; got != 3 {
		t.Errorf("%d read errors, want 3", got)
	}
	if err := e.Live(0); err != nil {
		t.Errorf("after recovery: %v", err)
	}
	if got, want := fmt.Sprint(rec.seen()), "[a b c a a b c d e f g h]"; got != want {
		t.Errorf("handed over %v, want %v", got, want)
	}
	cancel()
	close(fake.ended)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A socket that is gone ends the run with an error, the other readers' too: never alive and deaf.
func TestClosedSocketFailsTheRun(t *testing.T) {
	r := start(t, config(func(c *Config) { c.Workers = 2 }))
	r.readers[0].conn.Close()
	if err := r.stop(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run returned %v", err)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	e, err := Listen(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !allocationFree {
		t.Skip("the portable receiver allocates an address for each datagram")
	}
	c := dial(t, "127.0.0.1", e.Address().Port())
	payload := []byte("a datagram")
	r, h := e.readers[0], &sink{}
	got := testing.AllocsPerRun(200, func() {
		for range 4 {
			c.Write(payload)
		}
		n, err := r.recv.Receive(true)
		if err != nil {
			t.Fatal(err)
		}
		r.handle(h, n)
	})
	if got != 0 {
		t.Errorf("%v allocations a batch", got)
	}
	if h.bytes == 0 {
		t.Error("nothing was read")
	}
}

// sink looks at everything and keeps nothing.
type sink struct{ bytes, ports int }

func (s *sink) HandleMisfit(time.Time, netip.AddrPort, []byte) {}

func (s *sink) HandleBatch(b *Batch) {
	for i := range b.Len() {
		s.bytes += len(b.Payload(i))
		s.ports += int(b.Source(i).Port())
	}
}

// In broadcast mode one socket hears both kinds and tells them apart by where they were sent to.
func TestBroadcastIsToldFromUnicast(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the loopback interface has a broadcast address on Linux only")
	}
	r := start(t, config(func(c *Config) { c.Broadcast = true; c.Workers = 4 }))
	if r.Workers() != 1 {
		t.Fatalf("%d sockets; each of them would get every broadcast", r.Workers())
	}
	port := r.Address().Port()
	for range 3 {
		send(t, dial(t, "127.255.255.255", port), "to all")
	}
	send(t, dial(t, "127.0.0.1", port), "to one")
	got := r.awaitReceived(t, 4)
	if got.Received != 4 || got.Broadcast != 3 || got.Unicast != 1 {
		t.Errorf("counters %+v, want 3 broadcasts of 4", got)
	}
}
