package wasmhost

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"
)

func cpuNow() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkCPU(b *testing.B) {
	wasm, _ := os.ReadFile("testdata/hostile.wasm")
	for _, n := range []int{0, 256, 1024} {
		b.Run(string(rune('0'+n/256)), func(b *testing.B) {
			_, in := load(b, wasm, Limits{Call: time.Second})
			m := &Message{Ctx: testCtx(0, ToServer), Payload: bytes.Repeat([]byte("x"), n)}
			b.ResetTimer()
			t := cpuNow()
			for range b.N {
				if err := in.Do(OnHTTPRequest, m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuNow()-t)/float64(b.N), "cpu-ns/op")
		})
	}
	b.Run("none", func(b *testing.B) {
		_, in := load(b, wasm, Limits{Call: time.Second})
		m := &Message{Ctx: testCtx(0, ToServer)}
		b.ResetTimer()
		t := cpuNow()
		for range b.N {
			_ = in.Do(CheckPayload, m)
		}
		b.ReportMetric(float64(cpuNow()-t)/float64(b.N), "cpu-ns/op")
	})
}
