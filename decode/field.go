package decode

// field is the position of one of the eight names in the wire's order.
type field uint8

const (
	engineID field = iota
	timestampMs
	latencyPredMs
	schedulingMode
	pendingTokensTotal
	kvCacheFreeBlocks
	kvCacheTotalBlocks
	engineCapacity
	unknown // any other name
	fields  = int(unknown)
)

const (
	longestName = len("kv_cache_total_blocks")
	longestWire = longestName + len(`"": `)
)

// wireField returns the field whose name is at b[i] as most senders write it: in quotes, without escapes, and with the
// colon right behind; and the position after that and one space. The byte at i+10 tells the eight apart, whatever their
// order. (The compiler compares up to 16 bytes with a constant without a call.)
func wireField(b []byte, i int) (field, int) {
	rest := b[i:]
	if len(rest) < longestWire {
		return unknown, i // so near the end, the long way will do
	}
	f, size := unknown, 0
	name := (*[longestWire]byte)(rest)
	switch name[10] {
	case '"':
		if string(name[:12]) == `"engine_id":` {
			f, size = engineID, 12
		}
	case '_':
		if string(name[:15]) == `"timestamp_ms":` {
			f, size = timestampMs, 15
		}
	case 'r':
		if string(name[:16]) == `"latency_pred_ms` && string(name[16:18]) == `":` {
			f, size = latencyPredMs, 18
		}
	case 'g':
		if string(name[:16]) == `"scheduling_mode` && string(name[16:18]) == `":` {
			f, size = schedulingMode, 18
		}
	case 'o':
		if string(name[:16]) == `"pending_tokens_` && string(name[15:23]) == `_total":` {
			f, size = pendingTokensTotal, 23
		}
	case 'f':
		if string(name[:16]) == `"kv_cache_free_b` && string(name[15:23]) == `blocks":` {
			f, size = kvCacheFreeBlocks, 23
		}
	case 't':
		if string(name[:16]) == `"kv_cache_total_` && string(name[16:24]) == `blocks":` {
			f, size = kvCacheTotalBlocks, 24
		}
	case 'p':
		if string(name[:16]) == `"engine_capacity` && string(name[16:18]) == `":` {
			f, size = engineCapacity, 18
		}
	}
	if name[size] == ' ' {
		size++
	}
	return f, i + size
}

// fieldOf returns the field of a name.
func fieldOf(name []byte) field {
	switch string(name) {
	case "engine_id":
		return engineID
	case "timestamp_ms":
		return timestampMs
	case "latency_pred_ms":
		return latencyPredMs
	case "scheduling_mode":
		return schedulingMode
	case "pending_tokens_total":
		return pendingTokensTotal
	case "kv_cache_free_blocks":
		return kvCacheFreeBlocks
	case "kv_cache_total_blocks":
		return kvCacheTotalBlocks
	case "engine_capacity":
		return engineCapacity
	}
	return unknown
}

// escapedField returns the field of a valid name that has escapes, without its quotes. It decodes no more than the
// longest of the eight has. All of them are ASCII letters and underlines, which only \u can escape.
func escapedField(raw []byte) field {
	var decoded [longestName]byte
	name := decoded[:0]
	for i := 0; i < len(raw); {
		c := int(raw[i])
		if c == '\\' {
			c = unicodeEscape(raw, i)
			i += longestEscape
		} else {
			i++
		}
		if len(name) == longestName || c < '_' || c > 'z' {
			return unknown
		}
		name = append(name, byte(c))
	}
	return fieldOf(name)
}
