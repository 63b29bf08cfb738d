package packed

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// calls is a batch of n spans as the ebpf receiver makes them.
func calls(n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("host.name", "host-a")
	rs.Resource().Attributes().PutStr("service.name", "shop")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("hopscope/ebpf")
	ss.Spans().EnsureCapacity(n)
	for i := range n {
		s := ss.Spans().AppendEmpty()
		s.SetName("GET /orders/{id}")
		s.SetKind(ptrace.SpanKindServer)
		s.SetTraceID(pcommon.TraceID{1: byte(i), 2: byte(i >> 8), 15: 1})
		s.SetSpanID(pcommon.SpanID{1: byte(i), 2: byte(i >> 8), 7: 1})
		s.SetParentSpanID(pcommon.SpanID{1: byte(i), 2: byte(i >> 8), 7: 2})
		s.SetStartTimestamp(pcommon.Timestamp(1_700_000_000_000_000_000 + i*12345))
		s.SetEndTimestamp(s.StartTimestamp() + 1_234_567)
		m := s.Attributes()
		m.EnsureCapacity(32)
		for _, kv := range [][2]string{
			{"hopscope.capture.point", "s-p"}, {"hopscope.signal.source", "ebpf"}, {"network.transport", "tcp"}, {"network.type", "ipv4"},
			{"network.local.address", "10.1.2.3"}, {"network.peer.address", "10.1.2.4"}, {"client.address", "10.1.2.4"}, {"server.address", "10.1.2.3"},
			{"network.protocol.name", "http"}, {"network.protocol.version", "1.1"}, {"http.request.method", "GET"}, {"http.route", "/orders/{id}"},
			{"url.path", fmt.Sprint("/orders/", 4711+i)}, {"hopscope.response.status", "ok"}, {"hopscope.session.type", "session"},
			{"hopscope.exchange.lid", fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)}, {"hopscope.exchange.xid", fmt.Sprintf("%016x", uint64(i+1)*0x9e3779b97f4a7c15)},
		} {
			m.PutStr(kv[0], kv[1])
		}
		for k, v := range []int64{8080, 40000 + int64(i), 40000 + int64(i), 8080, 200, 312, 1312 + int64(i%100), int64(i) * 312, int64(i) * 1312, int64(i) * 12} {
			m.PutInt([]string{"network.local.port", "network.peer.port", "client.port", "server.port", "http.response.status_code", "hopscope.request.bytes",
				"hopscope.response.bytes", "hopscope.tcp.seq.request", "hopscope.tcp.seq.response", "hopscope.syscall.trace_id.request"}[k], v)
		}
		m.PutBool("hopscope.trace.provisional", true)
	}
	return td
}

func BenchmarkPack(b *testing.B) {
	td, p := calls(1000), NewPacker()
	b.ReportAllocs()
	var batch Batch
	for b.Loop() {
		batch = p.Pack(td)
	}
	b.ReportMetric(float64(batch.Size())/1000, "B/span")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/span")
}

func BenchmarkUnpack(b *testing.B) {
	p, u := NewPacker(), NewUnpacker()
	batch := p.Pack(calls(1000))
	b.ReportAllocs()
	for b.Loop() {
		u.Unpack(&batch, func(int, ptrace.Span) bool { return true })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/span")
}

// BenchmarkOTLP is what the same costs as protobuf.
func BenchmarkOTLP(b *testing.B) {
	td := calls(1000)
	b.ReportAllocs()
	var n int
	for b.Loop() {
		data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(data); err != nil {
			b.Fatal(err)
		}
		n = len(data)
	}
	b.ReportMetric(float64(n)/1000, "B/span")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/span")
}
