package decode_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

func BenchmarkDecode(b *testing.B) {
	for _, shape := range []struct{ name, payload string }{
		{"usual", text(usual...)},
		{"compact", spaced(",", ":", usual...)},
		{"extra", plus(member{"version", `"2.1"`}, member{"gpus", `[0.5, 0.25]`})},
		{"escape", with(member{"engine_id", `"http:\/\/172.17.0.3:8000"`})},
		{"exponent", with(member{"latency_pred_ms", "3e-05"})},
		{"refused", text(usual...) + "x"},
	} {
		b.Run(shape.name, func(b *testing.B) {
			d := decode.New()
			payload := []byte(shape.payload)
			var s state.State
			want := newReader().read(payload).reason
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if d.Decode(payload, &s) != want {
					b.Fatal(want)
				}
			}
		})
	}
}

// BenchmarkDecodeStream decodes the datagrams of a fleet. Their digits differ, in number too, which a processor that has
// learned one datagram by heart does not feel.
func BenchmarkDecodeStream(b *testing.B) {
	var payloads [4096][]byte
	for i := range payloads {
		s := traffic.NewAgent(fmt.Sprintf("http://10.0.%d.%d:8000", i/256, i%256), uint64(i)).Next(time.UnixMilli(1_755_532_567_495 + int64(i)))
		payloads[i] = s.AppendJSON(nil)
	}
	d := decode.New()
	var s state.State
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if reason := d.Decode(payloads[i%len(payloads)], &s); reason != 0 {
			b.Fatal(reason)
		}
	}
}

// BenchmarkFastjson is what Decode is to be compared with: fastjson by itself, laxer, with floats that can be wrong.
func BenchmarkFastjson(b *testing.B) {
	var parser fastjson.Parser
	payload := []byte(text(usual...))
	var s state.State
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := fastjson.ValidateBytes(payload); err != nil {
			b.Fatal(err)
		}
		v, err := parser.ParseBytes(payload)
		if err != nil {
			b.Fatal(err)
		}
		s.TimestampMs = v.GetInt64("timestamp_ms")
		s.LatencyPredMs = v.GetFloat64("latency_pred_ms")
		s.PendingTokensTotal = v.GetInt64("pending_tokens_total")
		s.KVCacheFreeBlocks = v.GetInt64("kv_cache_free_blocks")
		s.KVCacheTotalBlocks = v.GetInt64("kv_cache_total_blocks")
		s.EngineCapacity = v.GetFloat64("engine_capacity")
		if len(v.GetStringBytes("engine_id")) == 0 || len(v.GetStringBytes("scheduling_mode")) == 0 || s.TimestampMs == 0 {
			b.Fatal(s)
		}
	}
}
