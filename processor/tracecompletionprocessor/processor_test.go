package tracecompletionprocessor

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadata"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/metadatatest"
)

// exchange makes the process spans of one exchange between two hosts, as two
// agents would send them.
func exchange(seed uint32, start time.Time) (client, server ptrace.Traces) {
	lid := hop.LID(hop.ConnKey{Client: seed, Server: ^seed, Known: true}, 0)
	make := func(host string, pid int64, p hop.Point, from, to time.Duration) ptrace.Traces {
		td := ptrace.NewTraces()
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr(semconv.HostName, host)
		rs.Resource().Attributes().PutInt(semconv.ProcessPID, pid)
		s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID(hop.TraceID(lid)))
		s.SetSpanID(hop.SpanID(lid, p, host, "").Bytes())
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(start.Add(from)))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(to)))
		b := lid.Bytes()
		s.Attributes().PutStr(semconv.ExchangeLID, hex.EncodeToString(b[:]))
		s.Attributes().PutStr(semconv.CapturePoint, p.Code())
		s.Attributes().PutBool(semconv.TraceProvisional, true)
		return td
	}
	return make("a", 1, hop.ClientProcess, 0, 100*time.Millisecond), make("b", 2, hop.ServerProcess, 20*time.Millisecond, 80*time.Millisecond)
}

func start(t testing.TB, cfg *Config, next interface {
	ConsumeTraces(context.Context, ptrace.Traces) error
}) *completion {
	t.Helper()
	sink, ok := next.(*consumertest.TracesSink)
	if !ok {
		t.Fatal("no sink")
	}
	p, err := newCompletion(cfg, processortest.NewNopSettings(metadata.Type), sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return p
}

func spans(sink *consumertest.TracesSink) (out []ptrace.Span) {
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

func TestSettlesAndJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.TracesSink)
		p := start(t, createDefaultConfig().(*Config), sink)
		c, s := exchange(7, time.Now())
		for _, td := range []ptrace.Traces{s, c} {
			if err := p.ConsumeTraces(context.Background(), td); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		if n := sink.SpanCount(); n != 0 {
			t.Fatalf("%d spans left before they settled", n)
		}
		time.Sleep(1100 * time.Millisecond)
		got := spans(sink)
		if len(got) != 2 {
			t.Fatalf("%d spans of 2 after settling", len(got))
		}
		server, client := got[0], got[1]
		if server.ParentSpanID() != client.SpanID() || server.TraceID() != client.TraceID() || !client.ParentSpanID().IsEmpty() {
			t.Errorf("not joined: client %s under %q, server under %s", client.SpanID(), client.ParentSpanID(), server.ParentSpanID())
		}
		if v, _ := client.Attributes().Get(semconv.HopAdded); v.Int() != int64(40*time.Millisecond) {
			t.Errorf("added %d ns, want 40 ms", v.Int())
		}
		if err := p.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLate: a span that comes after its trace was sent on still finds its
// parent.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.TracesSink)
		p := start(t, createDefaultConfig().(*Config), sink)
		c, s := exchange(7, time.Now())
		_ = p.ConsumeTraces(context.Background(), c)
		time.Sleep(30 * time.Second)
		_ = p.ConsumeTraces(context.Background(), s)
		time.Sleep(6 * time.Second)
		got := spans(sink)
		if len(got) != 2 || got[1].ParentSpanID() != got[0].SpanID() || got[1].TraceID() != got[0].TraceID() {
			t.Errorf("the late span is not joined: %d spans", len(got))
		}
		p.mu.Lock()
		if n := p.table.Stats().Late; n != 1 {
			t.Errorf("%d late spans are counted", n)
		}
		p.mu.Unlock()
		time.Sleep(3 * time.Minute)
		p.mu.Lock()
		if n := p.table.Stats().Held; n != 0 || len(p.sent) != 0 || p.known != 0 {
			t.Errorf("%d nodes, %d batches still known", n, len(p.sent))
		}
		p.mu.Unlock()
		_ = p.Shutdown(context.Background())
	})
}

// TestShutdownFlushes, and counts: spans in = spans out + dropped.
func TestShutdownFlushes(t *testing.T) {
	sink := new(consumertest.TracesSink)
	p := start(t, createDefaultConfig().(*Config), sink)
	const n = 500
	for i := range uint32(n) {
		c, s := exchange(i, time.Now())
		_ = p.ConsumeTraces(context.Background(), c)
		_ = p.ConsumeTraces(context.Background(), s)
		if i%5 == 0 { // the same again, as a retry brings it
			c, _ = exchange(i, time.Now())
			_ = p.ConsumeTraces(context.Background(), c)
		}
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Errorf("second shutdown: %v", err)
	}
	if sink.SpanCount() != 2*n || p.dupes.Load() != n/5 || p.received.Load() != 2*n+n/5 || p.forwarded.Load() != 2*n {
		t.Errorf("received %d = sent %d (sink has %d) + duplicates %d?", p.received.Load(), p.forwarded.Load(), sink.SpanCount(), p.dupes.Load())
	}
}

// TestFull: past max_spans the oldest leave early, none is lost.
func TestFull(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.MaxSpans = 100
	sink := new(consumertest.TracesSink)
	p := start(t, cfg, sink)
	for i := range uint32(300) {
		c, _ := exchange(i, time.Now())
		_ = p.ConsumeTraces(context.Background(), c)
	}
	p.mu.Lock()
	held := p.spans
	p.mu.Unlock()
	if held > 100 || sink.SpanCount() != 300-held || p.early.Load() != uint64(300-held) {
		t.Errorf("held %d, sent %d, early %d", held, sink.SpanCount(), p.early.Load())
	}
	_ = p.Shutdown(context.Background())
	if sink.SpanCount() != 300 {
		t.Errorf("%d spans of 300", sink.SpanCount())
	}
}

// TestFullOfBytes: the same of max_bytes, which is what spans take while they wait.
func TestFullOfBytes(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.MaxBytes = 100 * (nodeBytes + 200)
	sink := new(consumertest.TracesSink)
	p := start(t, cfg, sink)
	for i := range uint32(300) {
		c, _ := exchange(i, time.Now())
		_ = p.ConsumeTraces(context.Background(), c)
	}
	p.mu.Lock()
	held, bytes := p.spans, p.bytes
	p.mu.Unlock()
	if bytes > cfg.MaxBytes || held < 50 || held > 140 || sink.SpanCount() != 300-held || p.early.Load() != uint64(300-held) {
		t.Errorf("held %d of %d bytes, sent %d, early %d", held, bytes, sink.SpanCount(), p.early.Load())
	}
	_ = p.Shutdown(context.Background())
	if sink.SpanCount() != 300 {
		t.Errorf("%d spans of 300", sink.SpanCount())
	}
}

func TestRefusedIsCounted(t *testing.T) {
	p, err := newCompletion(createDefaultConfig().(*Config), processortest.NewNopSettings(metadata.Type), consumertest.NewErr(errors.New("no")))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	c, _ := exchange(1, time.Now())
	_ = p.ConsumeTraces(context.Background(), c)
	_ = p.Shutdown(context.Background())
	if p.failed.Load() != 1 || p.forwarded.Load() != 0 {
		t.Errorf("refused %d, sent %d", p.failed.Load(), p.forwarded.Load())
	}
}

func TestConfig(t *testing.T) {
	cm, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(id, want string) {
		t.Helper()
		cfg := createDefaultConfig()
		sub, err := cm.Sub(component.NewIDWithName(metadata.Type, id).String())
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Unmarshal(cfg); err != nil {
			t.Fatal(err)
		}
		err = xconfmap.Validate(cfg)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", id, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
	f("default", "")
	f("all", "")
	f("no_settle", "settle: must be greater than zero")
	f("bad_hops", `hops: "some" is unknown`)
	f("no_endpoints", "links::redis::endpoints: is empty")
	f("two_standalone", "standalone takes one")
	f("no_master", "links::redis::master: is empty")
	f("no_port", `links::redis::endpoints: "redis" is no host:port`)
	f("short_ttl", "links::ttl: entries would be gone after 5s")
	f("cluster_db", "links::redis::db: a cluster has only database 0")
}

// BenchmarkSpans is a span's whole way: taken in, joined, decided, sent on.
func BenchmarkSpans(b *testing.B) {
	cfg := createDefaultConfig().(*Config)
	cfg.MaxSpans = 50_000
	p, err := newCompletion(cfg, processortest.NewNopSettings(metadata.Type), consumertest.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	const per = 1000
	seed := uint32(0)
	batches := make([]ptrace.Traces, 0, 64)
	refill := func() {
		batches = batches[:0]
		for range 64 {
			td := ptrace.NewTraces()
			for range per / 2 {
				c, s := exchange(seed, time.Now())
				seed++
				c.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
				s.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
			}
			batches = append(batches, td)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += per {
		if len(batches) == 0 {
			b.StopTimer()
			refill()
			b.StartTimer()
		}
		_ = p.ConsumeTraces(context.Background(), batches[len(batches)-1])
		batches = batches[:len(batches)-1]
	}
	b.StopTimer()
	_ = p.Shutdown(context.Background())
}

// TestClocks: the clock of a host that is 700 ms ahead is told to be that, by the
// time of one exchange, and how far off that may be.
func TestClocks(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(context.Background()) }()
	set := processortest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	p, err := newCompletion(createDefaultConfig().(*Config), set, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	c, s := exchange(7, time.Now())
	span := s.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	span.SetStartTimestamp(span.StartTimestamp() + 700e6)
	span.SetEndTimestamp(span.EndTimestamp() + 700e6)
	_ = p.ConsumeTraces(context.Background(), c)
	_ = p.ConsumeTraces(context.Background(), s)
	pair := metricdata.DataPoint[float64]{Attributes: attribute.NewSet(attribute.String("from", "a"), attribute.String("to", "b")), Value: 0.7}
	metadatatest.AssertEqualProcessorTracecompletionClockOffset(t, tel, []metricdata.DataPoint[float64]{pair}, metricdatatest.IgnoreTimestamp())
	pair.Value = 0.02 // the exchange took 100 ms at one end, 60 at the other
	metadatatest.AssertEqualProcessorTracecompletionClockOffsetError(t, tel, []metricdata.DataPoint[float64]{pair}, metricdatatest.IgnoreTimestamp())
	_ = p.Shutdown(context.Background())
}
