package tracecompletionprocessor

import (
	"context"
	"encoding/hex"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadata"
)

// arrivals looks at what leaves: how much later than it should, and how many
// spans of the server's host have the trace id that only the client's host knew.
type arrivals struct {
	settle       time.Duration
	late         atomic.Int64 // ns, the most
	spans, known atomic.Int64
}

func (*arrivals) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (a *arrivals) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	now := time.Now()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for i, s := range ss.Spans().All() {
				if i == 0 { // its batch was made then
					if late := int64(now.Sub(s.StartTimestamp().AsTime()) - a.settle); late > a.late.Load() {
						a.late.Store(late)
					}
				}
				a.spans.Add(1)
				if s.TraceID() == told {
					a.known.Add(1)
				}
			}
		}
	}
	return nil
}

// told is the trace id of everything that the client's host sees.
var told = pcommon.TraceID{1, 2, 3}

// calls is n client or server hops of exchanges from seed on.
func calls(p hop.Point, seed uint32, n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr(semconv.HostName, "host "+p.Code())
	rs.Resource().Attributes().PutInt(semconv.ProcessPID, 1)
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName(semconv.ScopeEBPF)
	spans := ss.Spans()
	spans.EnsureCapacity(n)
	now := time.Now()
	for i := range uint32(n) {
		lid := hop.LID(hop.ConnKey{Client: seed + i, Server: 1, Known: true}, 0)
		s := spans.AppendEmpty()
		s.SetSpanID(hop.SpanID(lid, p, "", "").Bytes())
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(now))
		s.SetEndTimestamp(s.StartTimestamp() + 1e6)
		m := s.Attributes()
		m.EnsureCapacity(6)
		var hexed [16]byte
		b := lid.Bytes()
		hex.Encode(hexed[:], b[:])
		m.PutStr(semconv.ExchangeLID, string(hexed[:]))
		m.PutStr(semconv.CapturePoint, p.Code())
		if p.OfClient() {
			s.SetTraceID(told)
		} else {
			s.SetTraceID(pcommon.TraceID(hop.TraceID(lid)))
			m.PutBool(semconv.TraceProvisional, true)
		}
	}
	return td
}

// BenchmarkLinksFlow: the hosts of clients and of servers, joined by Redis alone,
// for as many seconds as b.N says, at 50,000 exchanges a second: as many entries
// are put, and as many looked up: 100,000 links a second.
func BenchmarkLinksFlow(b *testing.B) {
	for _, store := range []string{storeMemory, storeRedis} {
		b.Run(store, func(b *testing.B) {
			const rate, per = 50_000, 500
			cfg := createDefaultConfig().(*Config)
			cfg.Settle, cfg.Remember, cfg.MaxSpans = 2*time.Second, 0, 1_000_000
			cfg.Guards.MaxSpans = 1 << 30 // here everything is one trace
			if store == storeRedis {
				cfg.Links.Store, cfg.Links.Redis.Endpoints = storeRedis, []string{redisServer(b).Addr()}
			}
			var ends [2]*completion
			var seen [2]arrivals
			for i := range ends {
				seen[i].settle = cfg.Settle
				p, err := newCompletion(cfg, processortest.NewNopSettings(metadata.Type), &seen[i])
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
					b.Fatal(err)
				}
				ends[i] = p
			}
			seed := uint32(0)
			began := time.Now()
			for range b.N * rate / per {
				for i, p := range []hop.Point{hop.ClientProcess, hop.ServerProcess} {
					if err := ends[i].ConsumeTraces(context.Background(), calls(p, seed, per)); err != nil {
						b.Fatal(err)
					}
				}
				seed += per
				time.Sleep(time.Until(began.Add(time.Duration(seed) * time.Second / rate)))
			}
			links := 2 * float64(seed) / time.Since(began).Seconds()
			time.Sleep(cfg.Settle + time.Second)
			for i := range ends {
				if ends[i].links != nil {
					b.Logf("%+v, %d look-ups late", ends[i].links.Stats(), ends[i].lookupErrors.Load())
				}
				if err := ends[i].Shutdown(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(links, "links/s")
			b.ReportMetric(float64(max(seen[0].late.Load(), seen[1].late.Load()))/1e6, "ms-late")
			b.ReportMetric(100*float64(seen[1].known.Load())/float64(seen[1].spans.Load()), "%-joined")
			b.ReportMetric(0, "ns/op")
		})
	}
}
