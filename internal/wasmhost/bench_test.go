package wasmhost

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// BenchmarkCall: a plugin in C that reads 1 KB and looks at each byte, under
// each kind of bound.
func BenchmarkCall(b *testing.B) {
	wasm, err := os.ReadFile("testdata/hostile.wasm")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		guarded bool
	}{{"fuel", false}, {"guarded", true}} {
		b.Run(c.name, func(b *testing.B) {
			_, in := load(b, wasm, Limits{Guarded: c.guarded, Call: time.Second})
			m := &Message{Ctx: testCtx(0, ToServer), Payload: bytes.Repeat([]byte("x"), 1024)}
			b.ReportAllocs()
			b.ReportMetric(float64(in.Memory()), "memory-bytes")
			for b.Loop() {
				if err := in.Do(OnHTTPRequest, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
