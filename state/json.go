package state

import (
	"math"
	"strconv"
)

// AppendJSON appends s to dst as one JSON object in the wire's own order and spacing, and returns the extended slice.
// Floats are the shortest text that reads back as the same bits. It allocates only when dst is too small.
func (s *State) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = s.AppendFields(dst)
	return append(dst, '}')
}

// AppendFields appends the eight members of AppendJSON's object without the braces, for objects that have more.
func (s *State) AppendFields(dst []byte) []byte {
	dst = append(dst, `"engine_id": `...)
	dst = AppendString(dst, s.EngineID)
	dst = append(dst, `, "timestamp_ms": `...)
	dst = strconv.AppendInt(dst, s.TimestampMs, 10)
	dst = append(dst, `, "latency_pred_ms": `...)
	dst = AppendFloat(dst, s.LatencyPredMs)
	dst = append(dst, `, "scheduling_mode": `...)
	dst = AppendString(dst, s.SchedulingMode)
	dst = append(dst, `, "pending_tokens_total": `...)
	dst = strconv.AppendInt(dst, s.PendingTokensTotal, 10)
	dst = append(dst, `, "kv_cache_free_blocks": `...)
	dst = strconv.AppendInt(dst, s.KVCacheFreeBlocks, 10)
	dst = append(dst, `, "kv_cache_total_blocks": `...)
	dst = strconv.AppendInt(dst, s.KVCacheTotalBlocks, 10)
	dst = append(dst, `, "engine_capacity": `...)
	return AppendFloat(dst, s.EngineCapacity)
}

// AppendFloat appends the finite f as the shortest JSON number that reads back as the same bits, always with a
// fraction or an exponent, so that readers that tell integers from floats see a float. The limits between fixed and
// exponent notation (1e-4, 1e16) are Python's, whose readers and logs this gateway serves.
func AppendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

const hexDigits = "0123456789abcdef"

// AppendString appends s, which must be valid UTF-8, as a JSON string with its quotes.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	clean := 0 // s[clean:i] waits to be appended as it is
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[clean:i]...)
		clean = i + 1
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	dst = append(dst, s[clean:]...)
	return append(dst, '"')
}
