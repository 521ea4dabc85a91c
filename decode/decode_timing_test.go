package decode_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"github.com/elrar/state-gateway/decode"
	"github.com/elrar/state-gateway/internal/traffic"
	"github.com/elrar/state-gateway/state"
)

func BenchmarkDecode(b *testing.B)  { benchmark(b, shapes()) }
func BenchmarkHostile(b *testing.B) { benchmark(b, hostile()) }

func benchmark(b *testing.B, shapes []shape) {
	for _, shape := range shapes {
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

// BenchmarkHostileMixes searches for the costliest datagrams: many of a few kinds of members or values in random order, no
// two the same, so that the processor cannot learn them. It reports the costliest mix's time, by the least of several.
func BenchmarkHostileMixes(b *testing.B) {
	_, half := halfway(1<<51+1, -1074)
	bases := []string{"{}", text(usual...), with(member{"latency_pred_ms", half}, member{"engine_capacity", half}),
		with(member{"engine_id", `"` + strings.Repeat(`\u0041`, 256) + `"`}, member{"scheduling_mode", `"` + strings.Repeat(`\u0041`, 64) + `"`})}
	names := strings.Fields(`"" "a" "engine_ix" "engine_i\u0061" "\u0061bcdefghi" "abcdefghi" "kv_cache_total_block\u0061"`)
	values := strings.Fields(`0 -1 12 0.5 1e1 1234567 [] {} [0] {"":0} "" "a" "abcdefg" "\n" "\na" "\u0041" "é" "\ud83d\ude00" null true`)
	random := rand.New(rand.NewPCG(13, 14))
	some := func(of []string) func() string {
		few := make([]string, 1+random.IntN(4))
		for i := range few {
			few[i] = of[random.IntN(len(of))]
		}
		return func() string { return few[random.IntN(len(few))] }
	}
	mix := func() (payloads [16][]byte) {
		base, name, value, list := open(bases[random.IntN(len(bases))]), some(names), some(values), random.IntN(2) == 0
		for i := range payloads {
			payload := []byte(base)
			if list {
				payload = append(payload, `,"":[0`...)
			}
			for len(payload) < hostileSize-60 {
				payload = append(payload, ',')
				if !list {
					payload = append(payload, name()+":"...)
				}
				payload = append(payload, value()...)
			}
			if list {
				payload = append(payload, ']')
			}
			payloads[i] = append(payload, '}')
		}
		return payloads
	}
	d := decode.New()
	var s state.State
	worst, of := time.Duration(0), ""
	for b.Loop() {
		payloads := mix()
		least := time.Duration(math.MaxInt64)
		for range 10 {
			start := time.Now()
			for _, payload := range payloads {
				d.Decode(payload, &s)
			}
			least = min(least, time.Since(start)/time.Duration(len(payloads)))
		}
		if least > worst {
			worst, of = least, string(payloads[0])
		}
	}
	b.ReportMetric(float64(worst), "worst-ns")
	b.Logf("%.150s … %.100s", of, of[len(of)-100:])
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
