package doctor

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestParseSockets(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the texts are a little-endian machine's")
	}
	const udp = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  180: 0100007F:270F 00000000:0000 07 00000000:00034B00 00:00000000 00000000     0        0 214385 2 00000000906e075e 12
  253: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 214368 2 00000000bcdbe827 0
  253: 00000000:0044 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 214369 2 00000000bcdbe827 0
  253: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 214368 2 00000000bcdbe827 0
broken: line
  254: 0000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 214368 2 00000000bcdbe827 0
`
	want := []Socket{
		{Local: netip.MustParseAddrPort("127.0.0.1:9999"), Queued: 0x34B00, Drops: 12, inode: 214385},
		{Local: netip.MustParseAddrPort("0.0.0.0:68"), inode: 214368},
	}
	if got := parseSockets(udp, false); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 000000001d372645 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 8 1 000000001d372645 100 0 0 10 0
`
	if got := parseSockets(tcp6, true); len(got) != 1 || !reflect.DeepEqual(got[0], Socket{Local: netip.MustParseAddrPort("[::1]:8080"), inode: 7}) {
		t.Errorf("%+v", got)
	}
}

// A socket of this process is found in the kernel's table, with what waits in it.
func TestSocketsOn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc/net is Linux's")
	}
	for _, network := range []string{"udp4", "udp"} {
		conn, err := net.ListenUDP(network, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		address := conn.LocalAddr().(*net.UDPAddr)
		sender, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", address.Port))
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Close()
		fmt.Fprint(sender, "waits")
		got := socketsOn("udp", uint16(address.Port))
		if len(got) != 1 || got[0].Local != address.AddrPort() || got[0].Queued == 0 {
			t.Errorf("%s: %+v, want one on %v", network, got, address)
		}
	}
}

func TestParseNoPorts(t *testing.T) {
	const v4 = `Ip: Forwarding DefaultTTL
Ip: 1 64
Udp: InDatagrams NoPorts InErrors
Udp: 13122795 36869 6533286
UdpLite: InDatagrams NoPorts InErrors
UdpLite: 1 2 3
`
	if got := parseNoPorts4(v4); got != 36869 {
		t.Errorf("IPv4: %d", got)
	}
	if got := parseNoPorts6("Udp6InDatagrams                 \t320\nUdp6NoPorts                     \t7\nUdpLite6NoPorts \t9\n"); got != 7 {
		t.Errorf("IPv6: %d", got)
	}
	if parseNoPorts4("") != 0 || parseNoPorts4("Udp: NoPorts\n") != 0 || parseNoPorts6("") != 0 {
		t.Error("of nothing")
	}
}

func TestParseConntrack(t *testing.T) {
	const text = `ipv4     2 udp      17 29 src=10.0.0.9 dst=192.0.2.1 sport=40187 dport=9999 [UNREPLIED] src=172.17.0.2 dst=10.0.0.9 sport=9999 dport=40187 mark=0 zone=0 use=2
ipv4     2 udp      17 29 src=10.0.0.8 dst=192.0.2.1 sport=40187 dport=9999 [UNREPLIED] src=172.17.0.3 dst=10.0.0.8 sport=9999 dport=40187 mark=0 zone=0 use=2
ipv4     2 udp      17 29 src=10.0.0.7 dst=192.0.2.1 sport=40188 dport=9999 [UNREPLIED] src=172.17.0.3 dst=10.0.0.7 sport=9999 dport=40188 mark=0 zone=0 use=2
ipv4     2 udp      17 29 src=10.0.0.7 dst=192.0.2.1 sport=40188 dport=9999 [UNREPLIED] src=192.0.2.1 dst=10.0.0.7 sport=9999 dport=40188 mark=0 zone=0 use=2
ipv4     2 udp      17 29 src=10.0.0.7 dst=192.0.2.1 sport=9999 dport=53 [UNREPLIED] src=172.17.0.4 dst=10.0.0.7 sport=53 dport=9999 mark=0 zone=0 use=2
ipv4     2 tcp      6 29 ESTABLISHED src=10.0.0.7 dst=192.0.2.1 sport=1 dport=9999 src=172.17.0.5 dst=10.0.0.7 sport=9999 dport=1 mark=0 zone=0 use=2
broken
`
	if got := fmt.Sprint(parseConntrack(text, 9999)); got != "[172.17.0.2 172.17.0.3]" {
		t.Errorf("%s", got)
	}
}

func TestMounted(t *testing.T) {
	const text = `1 0 0:1 / / rw - overlay overlay rw
2 1 0:2 / /data rw - ext4 /dev/sda rw
3 1 0:2 /x /data\040two/engine_states.jsonl rw - ext4 /dev/sda rw
`
	for path, want := range map[string]bool{"/data": true, "/data/engine_states.jsonl": false, "/data two/engine_states.jsonl": true, "/x": false} {
		if mounted(text, path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestRootType(t *testing.T) {
	const text = `1 0 0:1 / / rw - rootfs rootfs rw
2 1 0:2 / / rw,relatime master:1 - fuse.fuse-overlayfs fuse-overlayfs rw
3 2 0:3 / /data rw - ext4 /dev/sda rw
broken
`
	if got := rootType(text); got != "fuse.fuse-overlayfs" {
		t.Errorf("%q", got)
	}
	if got := rootType(""); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestStopped(t *testing.T) {
	for stat, want := range map[string]bool{"7 (a) T 1 7": true, "7 (a) t 1": true, "7 (a) T b) S 1": false, "7 (a) S 1": false, "": false} {
		if stopped(stat) != want {
			t.Errorf("%q: %v", stat, !want)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	const text = `# HELP elrar_gateway_receive_buffer_bytes Receive buffer.
# TYPE elrar_gateway_receive_buffer_bytes gauge
elrar_gateway_receive_buffer_bytes{socket="0"} 8.388608e+06
elrar_gateway_receive_buffer_bytes{socket="1"} 212992
# TYPE elrar_gateway_intruding_sockets gauge
elrar_gateway_intruding_sockets 2
`
	if got, intruders := parseMetrics(text); !slices.Equal(got, []int{8 << 20, 212992}) || intruders != 2 {
		t.Errorf("%v, %d intruders", got, intruders)
	}
	if got, intruders := parseMetrics("<html>"); got != nil || intruders != 0 {
		t.Errorf("no metrics: %v, %d intruders", got, intruders)
	}
}

func TestLookAtLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.jsonl")
	if l := lookAtLog(path, 0); l.Exists || l.Error != "" || l.Free == 0 {
		t.Errorf("not there yet: %+v", l)
	}
	if l := lookAtLog(filepath.Join(dir, "no/x.jsonl"), 0); !strings.Contains(l.Error, "does not exist") {
		t.Errorf("no folder: %+v", l)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := lookAtLog(path, 0)
	if !l.Exists || l.Error != "" || l.Known || l.Mount {
		t.Errorf("there: %+v", l)
	}
	f.WriteString("line\n")
	if l.lookAgain(0); l.Size != [2]int64{0, 5} {
		t.Errorf("grown: %+v", l)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if l := lookAtLog(path, os.Getpid()); !l.Known || !l.Open {
		t.Errorf("open in this process: %+v", l)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if l := lookAtLog(path, os.Getpid()); !l.Known || l.Open || !slices.Contains(l.OpenElse, path+".1") {
		t.Errorf("renamed: %+v", l)
	}
}

func TestWrite(t *testing.T) {
	all := []Finding{{OK, "log", "a <b>", ""}, {Problem, "way", "c", "d\ne"}}
	var text, json strings.Builder
	if err := WriteText(&text, all); err != nil {
		t.Fatal(err)
	}
	const wantText = "ok       log       a <b>\nproblem  way       c\n                   → d\n                   → e\n"
	if text.String() != wantText {
		t.Errorf("%q", text.String())
	}
	if err := WriteJSON(&json, all[:1]); err != nil {
		t.Fatal(err)
	}
	const wantJSON = "[\n  {\n    \"level\": \"ok\",\n    \"about\": \"log\",\n    \"saw\": \"a <b>\"\n  }\n]\n"
	if json.String() != wantJSON {
		t.Errorf("%q", json.String())
	}
}

func TestText(t *testing.T) {
	for got, want := range map[string]string{
		list([]int{1, 2, 3}, 2):                   "1, 2 and 1 more",
		list([]int{}, 2):                          "none",
		bytes(212992):                             "208 KiB",
		bytes(64 << 30):                           "64 GiB",
		plural(1, "engine"):                       "1 engine",
		plural(2, "engine"):                       "2 engines",
		seconds(2.5):                              "2.5s",
		seconds(3725.4):                           "1h2m5s",
		fmt.Sprint(Process{}):                     "another process",
		fmt.Sprint(Process{PID: 7, Command: "x"}): "process 7 (x)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
