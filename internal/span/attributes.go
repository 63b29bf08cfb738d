package span

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// attributes writes those of the span.
func (b *Builder) attributes(s ptrace.Span, l *cause.Linked, pl *place, o *result) {
	x := l.Exchange
	w := &b.w
	w.begin(s.Attributes())
	p := x.Protocol
	domain := ""
	if p.Keys.Domain == semconv.ServerAddress {
		domain = first(x.Req.Msg.Domain, x.Resp.Msg.Domain)
	}
	pl.ends(w, domain)
	b.association(l)
	b.profile(x, pl)
	b.sizes(x)
	if x.Facts != nil {
		w.all(pl.knowing(w, x.Facts))
	}
	w.own = w.n
	said := b.sayings.of(x, pl.point, o.route)
	if said != nil && said.kv.kv != nil {
		w.all(said.kv)
		w.end()
		return
	}
	w.all(pl.speaking(w, p))
	b.application(x, o)
	w.messages(x.Req.Msg.Attrs)
	w.messages(x.Resp.Msg.Attrs)
	if said != nil && !b.cfg.Payload {
		said.learn(w)
	}
	w.end()
}

// association: what makes hops and exchanges find each other.
func (b *Builder) association(l *cause.Linked) {
	x, w := l.Exchange, &b.w
	b.key(semconv.ExchangeXID, l.XID)
	b.key(semconv.ExchangeLID, l.LID)
	if x.Conn.Transport == l7.TCP && x.Conn.Family != stream.Unix {
		if x.OneWay && x.FromServer {
			w.int(semconv.TCPSeqResponse, int64(x.Req.Seq))
		} else {
			w.int(semconv.TCPSeqRequest, int64(x.Req.Seq))
		}
		if x.Resp.Seen {
			w.int(semconv.TCPSeqResponse, int64(x.Resp.Seq))
		}
	}
	req, resp := &x.Req, &x.Resp
	if x.OneWay && x.FromServer {
		req, resp = resp, req
	}
	w.num(semconv.SyscallTraceIDRequest, int64(req.Ctx.SyscallTraceID))
	w.num(semconv.SyscallTraceIDResponse, int64(resp.Ctx.SyscallTraceID))
	w.num(semconv.SyscallThreadRequest, int64(req.Ctx.Tid))
	w.num(semconv.SyscallThreadResponse, int64(resp.Ctx.Tid))
	w.num(semconv.SyscallCoroutineRequest, int64(req.Ctx.Goid))
	w.num(semconv.SyscallCoroutineResponse, int64(resp.Ctx.Goid))
	w.num(semconv.SyscallCapSeqRequest, int64(req.Ctx.CapSeq))
	w.num(semconv.SyscallCapSeqResponse, int64(resp.Ctx.CapSeq))
	w.opt(semconv.RequestIDRequest, req.Msg.Trace.RequestID)
	w.opt(semconv.RequestIDResponse, resp.Msg.Trace.RequestID)
	tr := &x.Req.Msg.Trace
	if tr.Format == "" {
		tr = &x.Resp.Msg.Trace
	}
	if tr.Format != "" {
		w.opt(semconv.PropagationTraceID, tr.TraceID)
		w.opt(semconv.PropagationSpanID, tr.SpanID)
		w.opt(semconv.PropagationParentSpanID, tr.ParentSpanID)
		w.str(semconv.PropagationFormat, tr.Format)
	}
	if l.Evidence != cause.NoEvidence {
		w.str(semconv.LinkEvidence, l.Evidence.String())
		w.str(semconv.LinkConfidence, l.Confidence.String())
	}
	if l.Provisional {
		w.all(b.provisional)
	}
	w.opt(semconv.Incomplete, x.Incomplete.String())
}

// key writes an exchange key as 16 hex digits.
func (b *Builder) key(name string, k hop.Key) {
	if k == 0 {
		return
	}
	var hex [16]byte
	b.w.str(name, b.text.Copy(k.Hex(hex[:0])))
}

// application: what was asked and what came of it, under the names that the
// protocol gives.
func (b *Builder) application(x *session.Exchange, o *result) {
	w, k := &b.w, &x.Protocol.Keys
	req, resp := &x.Req.Msg, &x.Resp.Msg
	w.opt(semconv.NetworkProtocolVersion, first(req.Version, resp.Version))
	w.named(k.Op, first(req.Op, resp.Op))
	w.named(k.Target, first(req.Target, resp.Target))
	w.named(k.Route, o.route)
	if k.Domain != semconv.ServerAddress {
		w.named(k.Domain, first(req.Domain, resp.Domain))
	}
	if id := first(req.Session, resp.Session); id != "" {
		w.str(first(k.Session, semconv.SessionRequestID), id)
	}
	if o.code != "" && k.Code != "" {
		if n, err := strconv.ParseInt(o.code, 10, 64); k.CodeInt && err == nil {
			w.int(k.Code, n)
		} else {
			w.str(k.Code, o.code)
		}
	}
	w.all(b.statuses[o.status])
	if o.failed {
		w.str(semconv.ErrorType, o.errorType())
	}
	w.opt(semconv.ExceptionMessage, o.message)
	switch {
	case x.OneWay && x.FromServer:
		w.all(b.types[typeResponse])
	case x.Resp.Seen:
		w.all(b.types[typeSession])
	default:
		w.all(b.types[typeRequest])
	}
	if b.cfg.Payload {
		w.bytes(semconv.PayloadRequest, x.Req.Payload)
		w.bytes(semconv.PayloadResponse, x.Resp.Payload)
	}
}

// sizes: how much was said, and when.
func (b *Builder) sizes(x *session.Exchange) {
	w := &b.w
	switch {
	case x.OneWay && x.FromServer:
		w.int(semconv.ResponseBytes, int64(x.Req.Bytes))
	case x.Resp.Seen:
		w.int(semconv.RequestBytes, int64(x.Req.Bytes))
		w.int(semconv.ResponseBytes, int64(x.Resp.Bytes))
		w.int(semconv.RequestEnd, x.Req.End)
		w.int(semconv.ResponseStart, x.Resp.Start)
		if x.Resp.Msg.Timed && x.Resp.Body != 0 {
			w.int(semconv.ResponseBody, x.Resp.Body)
		}
	default:
		w.int(semconv.RequestBytes, int64(x.Req.Bytes))
		w.int(semconv.RequestEnd, x.Req.End)
	}
}
