package wasmparserprocessor

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/wasmhost"
)

// chunk is what an unparsed span says: bytes that one end sent.
type chunk struct {
	span    ptrace.Span
	dir     wasmhost.Direction
	first   uint64 // where the span's bytes begin, whose keys it has
	pos     uint64 // where b does: some may have been cut off
	wire    uint64 // bytes there were, of which b is the head
	b       []byte
	whole   bool // a datagram: nothing of it is left for the next one
	flow    flowKey
	conn    hop.ConnKey
	hasSeq  bool
	seq     uint32
	seqName string
}

// chunkOf reads the span; false: it has no payload.
func chunkOf(s ptrace.Span, host string) (c chunk, ok bool) {
	a := s.Attributes()
	c = chunk{span: s, dir: wasmhost.ToServer, b: data(a, semconv.PayloadRequest), whole: text(a, semconv.NetworkTransport) == "udp", seqName: semconv.TCPSeqRequest}
	size := semconv.RequestBytes
	if text(a, semconv.SessionType) == semconv.TypeResponse {
		c.dir, size, c.seqName = wasmhost.ToClient, semconv.ResponseBytes, semconv.TCPSeqResponse
	}
	c.first = uint64(integer(a, semconv.PayloadPosition))
	c.pos = c.first
	c.wire = max(uint64(max(integer(a, size), 0)), uint64(len(c.b)))
	if v, has := a.Get(c.seqName); has {
		c.hasSeq, c.seq = true, uint32(v.Int())
	}
	if k, err := strconv.ParseUint(text(a, semconv.PayloadConnection), 16, 64); err == nil {
		c.conn = hop.ConnKey{Client: uint32(k >> 32), Server: uint32(k), Known: true}
	}
	// Where a connection was seen is part of what it is: interfaces of one host see
	// the same one.
	c.flow = flowKey{host, text(a, semconv.PayloadFlow) + text(a, semconv.CapturePoint) + text(a, semconv.NetworkInterfaceName)}
	return c, len(c.b) > 0
}

func integer(a pcommon.Map, key string) int64 {
	if v, ok := a.Get(key); ok {
		return v.Int()
	}
	return 0
}

// message makes the span of a message that begins at pos, in the chunk that m is,
// and of which the last byte seen came at end. Its keys are those that the
// receiver would have given it: they say where it lies in the stream.
func message(m mark, pos uint64, end pcommon.Timestamp, host string) ptrace.Span {
	s := ptrace.NewSpan()
	m.span.CopyTo(s)
	s.SetEndTimestamp(max(end, s.StartTimestamp()))
	delta := pos - m.pos
	if delta == 0 {
		return s
	}
	c, _ := chunkOf(s, host)
	a := s.Attributes()
	if c.hasSeq {
		a.PutInt(c.seqName, int64(c.seq+uint32(delta)))
	}
	lid := hop.Key(0)
	if c.dir == wasmhost.ToServer {
		lid = hop.LID(c.conn, pos)
	}
	own := lid
	if own == 0 {
		a.Remove(semconv.ExchangeLID)
		flow, _ := strconv.ParseUint(text(a, semconv.PayloadFlow), 16, 64) // of another shape: all have 0
		at := pos
		if c.dir == wasmhost.ToClient {
			at = ^pos // the client's stream has the same positions
		}
		own = hop.Private(flow, at, int64(s.StartTimestamp()))
	} else {
		a.PutStr(semconv.ExchangeLID, string(lid.Hex(nil)))
	}
	point, _ := hop.Parse(text(a, semconv.CapturePoint))
	s.SetSpanID(hop.SpanID(own, point, host, text(a, semconv.NetworkInterfaceName)).Bytes())
	if s.ParentSpanID().IsEmpty() {
		s.SetTraceID(hop.TraceID(own))
	}
	return s
}

// answer adds what is known of the answer r to the request q, which is a session
// then.
func answer(q, r ptrace.Span) {
	a, b := q.Attributes(), r.Attributes()
	for _, name := range [...]string{semconv.TCPSeqResponse, semconv.SyscallTraceIDResponse, semconv.SyscallThreadResponse,
		semconv.SyscallCoroutineResponse, semconv.SyscallCapSeqResponse, semconv.ResponseBytes} {
		if v, ok := b.Get(name); ok {
			v.CopyTo(a.PutEmpty(name))
		}
	}
	first := text(a, semconv.SessionType) != semconv.TypeSession
	q.SetEndTimestamp(max(q.EndTimestamp(), r.EndTimestamp()))
	if !first {
		return // the answer goes on
	}
	a.PutStr(semconv.SessionType, semconv.TypeSession)
	a.PutInt(semconv.ResponseStart, int64(r.StartTimestamp()))
	req, ok1 := a.Get(semconv.TCPSeqRequest)
	resp, ok2 := a.Get(semconv.TCPSeqResponse)
	if ok1 && ok2 {
		xid := hop.XID(uint32(req.Int()), uint32(resp.Int()))
		a.PutStr(semconv.ExchangeXID, string(xid.Hex(nil)))
	}
}

// bare removes what only this processor may see.
func bare(s ptrace.Span) {
	for _, name := range [...]string{semconv.PayloadRequest, semconv.PayloadResponse, semconv.PayloadFlow, semconv.PayloadPosition, semconv.PayloadConnection} {
		s.Attributes().Remove(name)
	}
}
