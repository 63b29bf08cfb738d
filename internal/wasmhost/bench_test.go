package wasmhost

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// exchange is a span with a request of 1 KB: six fields, the fourth of which the
// plugins look for.
type exchange struct {
	payload []byte
	set     map[string]any
}

func newExchange() *exchange {
	head := "POST /pay HTTP/1.1\r\nHost: shop\r\nUser-Agent: bench/1\r\nAccept: */*\r\nX-Order: 4711\r\nContent-Type: text/plain\r\nX-More: "
	b := append([]byte(head), bytes.Repeat([]byte("m"), 1024-len(head)-4)...)
	return &exchange{append(b, "\r\n\r\n"...), map[string]any{}}
}

func (x *exchange) Get(string) (string, bool)  { return "", false }
func (x *exchange) Set(key string, v any) bool { x.set[key] = v; return true }
func (x *exchange) Payload(d Direction) []byte { return x.payload }

// cpu is what the process has used of the processors: of a call that is in turn
// with others for one it says more than a clock does.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// headPlugin is the plugin that is measured, in C, Rust or Go.
func headPlugin(t testing.TB, lang string) []byte {
	path := "testdata/head.wasm"
	switch lang {
	case "rust":
		path = "testdata/head_rust.wasm"
	case "go":
		path = filepath.Join(t.TempDir(), "head.wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "./testdata/headgo")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHeads: what is measured does what it says.
func TestHeads(t *testing.T) {
	for _, lang := range []string{"c", "rust", "go"} {
		if lang == "go" && testing.Short() {
			continue
		}
		_, in := load(t, headPlugin(t, lang), Limits{Call: 5 * time.Second, Init: 20 * time.Second})
		x := newExchange()
		if err := in.Do(OnSpan, &Message{Ctx: testCtx(20, ToServer), Span: x}); err != nil {
			t.Fatal(lang, err)
		}
		if got := fmt.Sprint(x.set); got != "map[app.fields:6 app.order:4711]" || len(x.payload) != 1024 {
			t.Errorf("%s: %s of %d bytes", lang, got, len(x.payload))
		}
	}
}

// BenchmarkCall is one call over 1 KB, by language and by what bounds it.
func BenchmarkCall(b *testing.B) {
	for _, lang := range []string{"c", "go"} {
		wasm := headPlugin(b, lang)
		for _, l := range []struct {
			bound string
			Limits
		}{{"fuel", Limits{}}, {"none", Limits{unbounded: true}}, {"guarded", Limits{Guarded: true}}} {
			l.Call, l.Init = time.Second, 20*time.Second
			b.Run(lang+"/"+l.bound, func(b *testing.B) {
				_, in := load(b, wasm, l.Limits)
				m := &Message{Ctx: testCtx(20, ToServer), Span: newExchange()}
				b.ReportAllocs()
				b.ResetTimer()
				start := cpu()
				for range b.N {
					if err := in.Do(OnSpan, m); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(in.Memory()>>10), "memory-KiB")
			})
		}
	}
}
