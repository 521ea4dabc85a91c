package state

import "testing"

func BenchmarkAppendJSON(b *testing.B) {
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(recordedText)))
	for b.Loop() {
		buffer = recorded.AppendJSON(buffer[:0])
	}
}
