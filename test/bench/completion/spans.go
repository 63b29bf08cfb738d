package main

import (
	"encoding/hex"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
)

// generator makes traces as agents of three hosts send them: a calls b, b calls
// c; of each call the process and the interface of either side are seen. Eight
// spans a trace, in three batches for perBatch traces.
type generator struct {
	templates [3]ptrace.Traces
	seed      uint32
}

const perBatch = 250

// seen is one hop: of call 1 or 2, at a point; caused: by the call before.
type seen struct {
	call   int
	point  hop.Point
	caused bool
	name   string
}

var hosts = [3][]seen{
	{{1, hop.ClientProcess, false, "GET /orders/{id}"}, {1, hop.ClientNIC, false, "GET /orders/{id}"}},
	{{1, hop.ServerNIC, false, "GET /orders/{id}"}, {1, hop.ServerProcess, false, "GET /orders/{id}"},
		{2, hop.ClientProcess, true, "SELECT orders"}, {2, hop.ClientNIC, false, "SELECT orders"}},
	{{2, hop.ServerNIC, false, "SELECT orders"}, {2, hop.ServerProcess, false, "SELECT orders"}},
}

func newGenerator() *generator {
	g := &generator{}
	for i, hops := range hosts {
		td := ptrace.NewTraces()
		for _, h := range hops {
			rs := td.ResourceSpans().AppendEmpty()
			m := rs.Resource().Attributes()
			m.PutStr(semconv.HostName, "host-"+string(rune('a'+i)))
			m.PutStr(semconv.HostID, "0123456789abcdef0123456789abcde"+string(rune('a'+i)))
			if h.point.Process() {
				m.PutStr(semconv.ServiceName, "service-"+string(rune('a'+i)))
				m.PutInt(semconv.ProcessPID, int64(100+i))
				m.PutStr("process.executable.name", "service")
			}
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName(semconv.ScopeEBPF)
			for range perBatch {
				s := ss.Spans().AppendEmpty()
				s.SetName(h.name)
				s.SetKind(ptrace.SpanKindClient)
				if h.point.OfServer() {
					s.SetKind(ptrace.SpanKindServer)
				}
				attributes(s.Attributes(), h)
			}
		}
		g.templates[i] = td
	}
	return g
}

// attributes are those of the ebpf receiver; the keys come last.
func attributes(m pcommon.Map, h seen) {
	m.EnsureCapacity(32)
	m.PutStr(semconv.CapturePoint, h.point.Code())
	m.PutStr("hopscope.signal.source", "ebpf")
	m.PutStr("network.transport", "tcp")
	m.PutStr("network.type", "ipv4")
	m.PutStr("network.local.address", "10.1.2.3")
	m.PutInt("network.local.port", 8080)
	m.PutStr(semconv.NetworkPeerAddress, "10.1.2.4")
	m.PutInt(semconv.NetworkPeerPort, 45678)
	m.PutStr("client.address", "10.1.2.4")
	m.PutInt("client.port", 45678)
	m.PutStr("server.address", "10.1.2.3")
	m.PutInt(semconv.ServerPort, 8080)
	m.PutStr("network.protocol.name", "http")
	m.PutStr("network.protocol.version", "1.1")
	m.PutStr("http.request.method", "GET")
	m.PutStr("url.path", "/orders/4711")
	m.PutInt("http.response.status_code", 200)
	m.PutStr("hopscope.response.status", "ok")
	m.PutStr("hopscope.session.type", "session")
	m.PutInt("hopscope.request.bytes", 312)
	m.PutInt("hopscope.response.bytes", 1312)
	m.PutInt("hopscope.tcp.seq.request", 123456789)
	m.PutInt("hopscope.tcp.seq.response", 234567891)
	m.PutInt(semconv.SyscallTraceIDRequest, 12345)
	m.PutInt(semconv.SyscallTraceIDResponse, 12346)
	m.PutBool(semconv.TraceProvisional, true)
	if h.caused {
		m.PutStr(semconv.LinkEvidence, "thread")
		m.PutStr(semconv.LinkConfidence, "high")
	}
	m.PutStr(semconv.ExchangeXID, "")
	m.PutStr(semconv.ExchangeLID, "")
}

// next is perBatch new traces, in the batches of the three hosts.
func (g *generator) next() [3]ptrace.Traces {
	now := time.Now().UnixNano()
	var out [3]ptrace.Traces
	var text [2]string
	for i, hops := range hosts {
		td := ptrace.NewTraces()
		for k, h := range hops {
			from := g.templates[i].ResourceSpans().At(k)
			rs := td.ResourceSpans().AppendEmpty()
			from.Resource().CopyTo(rs.Resource())
			ss := rs.ScopeSpans().AppendEmpty()
			from.ScopeSpans().At(0).Scope().CopyTo(ss.Scope())
			spans := ss.Spans()
			spans.EnsureCapacity(perBatch)
			for j := range perBatch {
				seed := g.seed + uint32(j)
				lid := hop.LID(hop.ConnKey{Client: seed, Server: uint32(h.call), Known: true}, 0)
				xid := hop.XID(seed, uint32(h.call))
				lb, xb := lid.Bytes(), xid.Bytes()
				text[0], text[1] = hex.EncodeToString(lb[:]), hex.EncodeToString(xb[:])
				s := spans.AppendEmpty()
				s.Attributes().EnsureCapacity(32) // what OTLP's decoder has for 28 to 32
				from.ScopeSpans().At(0).Spans().At(j).CopyTo(s)
				root := lid
				if h.caused {
					first := hop.LID(hop.ConnKey{Client: seed, Server: 1, Known: true}, 0)
					root = first
					s.SetParentSpanID(hop.SpanID(first, hop.ServerProcess, hosts[i][0].name, "").Bytes())
				}
				s.SetTraceID(pcommon.TraceID(hop.TraceID(root)))
				s.SetSpanID(hop.SpanID(lid, h.point, hops[0].name, "").Bytes())
				in := int64(h.call*10+int(h.point)) * 1000
				s.SetStartTimestamp(pcommon.Timestamp(now + in))
				s.SetEndTimestamp(pcommon.Timestamp(now + 1e6 - in))
				// What no two exchanges have in common.
				path := "/orders/" + strconv.Itoa(int(seed))
				for k, v := range s.Attributes().All() {
					switch k {
					case semconv.ExchangeLID:
						v.SetStr(text[0])
					case semconv.ExchangeXID:
						v.SetStr(text[1])
					case "url.path":
						v.SetStr(path)
					case semconv.NetworkPeerPort, "client.port":
						v.SetInt(int64(32768 + seed%28000))
					case "hopscope.response.bytes":
						v.SetInt(int64(1000 + seed%1000))
					case "hopscope.tcp.seq.request", "hopscope.tcp.seq.response":
						v.SetInt(int64(seed*2654435761 + uint32(h.call)))
					case semconv.SyscallTraceIDRequest, semconv.SyscallTraceIDResponse:
						v.SetInt(int64(seed)*4 + int64(h.call) + int64(len(k))<<40)
					}
				}
			}
		}
		out[i] = td
	}
	g.seed += perBatch
	return out
}
