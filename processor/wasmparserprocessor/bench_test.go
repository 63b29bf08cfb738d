package wasmparserprocessor

import (
	"bytes"
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/wasmparserprocessor/internal/metadata"
)

// The plugins that are measured, in C and in Go: internal/wasmhost has them.
const headC, headGo = "../../internal/wasmhost/testdata/head.wasm", "../../internal/wasmhost/testdata/headgo"

const benchSpans = 1000

// benchBatch is spans with a request of 1 KB.
func benchBatch() ptrace.Traces {
	head := "POST /pay HTTP/1.1\r\nHost: shop\r\nUser-Agent: bench/1\r\nAccept: */*\r\nX-Order: 4711\r\nContent-Type: text/plain\r\nX-More: "
	req := head + strings.Repeat("m", 1024-len(head)-4) + "\r\n\r\n"
	td := one("POST /pay", req, "")
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for spans.Len() < benchSpans {
		spans.At(0).CopyTo(spans.AppendEmpty())
	}
	return td
}

// native is what the plugins do, as a processor of the host would.
type native struct {
	next  consumer.Traces
	match MatchConfig
}

func (n *native) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	want := []byte("x-order: ")
	for _, rs := range td.ResourceSpans().All() {
		exec := text(rs.Resource().Attributes(), semconv.ProcessExecutableName)
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				if !n.match.fits(s, exec) {
					continue
				}
				b := data(s.Attributes(), semconv.PayloadRequest)
				fields := int64(-1)
				for len(b) > 0 {
					end := bytes.IndexByte(b, '\n')
					if end <= 1 {
						break
					}
					line := b[:end-1]
					if len(line) > len(want) && bytes.EqualFold(line[:len(want)], want) {
						s.Attributes().PutStr("app.order", string(line[len(want):]))
					}
					fields++
					b = b[end+1:]
				}
				s.Attributes().PutInt("app.fields", fields)
			}
		}
	}
	return n.next.ConsumeTraces(ctx, td)
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkSpan is what a span costs: one that a plugin in C, in Go, or the host
// itself looks at, and one that no plugin is asked about. An operation is a span.
func BenchmarkSpan(b *testing.B) {
	http := MatchConfig{Protocols: []string{"http"}, PathPrefix: "/pay"}
	for _, c := range []struct {
		name, path string
		match      MatchConfig
	}{
		{"native", "", http}, {"c", headC, http}, {"go", headGo, http},
		{"unmatched", headC, MatchConfig{Protocols: []string{"mysql"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var p consumer.Traces
			var g *guest
			next := consumertest.NewNop()
			if c.path == "" {
				p = &native{next, c.match}
			} else {
				w, err := benchParser(b, c.path, c.match, next)
				if err != nil {
					b.Fatal(err)
				}
				p, g = w, w.guests[0]
			}
			td := benchBatch()
			b.ReportAllocs()
			b.ResetTimer()
			start := cpu()
			for n := 0; n < b.N; n += benchSpans {
				if err := p.ConsumeTraces(context.Background(), td); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-start)/float64(max(b.N, benchSpans)), "cpu-ns/op")
			v, ok := spanOf(td).Attributes().Get("app.order")
			if ok != (c.name != "unmatched") || ok && v.Str() != "4711" {
				b.Fatal("the plugin did not do its work")
			}
			if g != nil && g.calls.Load() > 0 {
				b.ReportMetric(float64(g.now.Load().memory()>>10), "memory-KiB")
			}
		})
	}
}

func (*native) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// benchParser keeps the payload, so that a batch can be used again.
func benchParser(b *testing.B, path string, m MatchConfig, next consumer.Traces) (*parser, error) {
	if !strings.HasSuffix(path, ".wasm") {
		path = built(b, path)
	}
	cfg := createDefaultConfig().(*Config)
	cfg.Reload, cfg.KeepPayload = 0, true
	cfg.Plugins = []PluginConfig{{Path: path, Match: m, Limits: LimitsConfig{InitTimeout: 20 * time.Second}}}
	p := newParser(cfg, processortest.NewNopSettings(metadata.Type), next)
	b.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return p, p.Start(context.Background(), componenttest.NewNopHost())
}
