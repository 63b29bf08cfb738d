package span

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
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
	b.figures(l)
	b.association(l)
	b.profile(x, pl)
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

// association: what else makes hops and exchanges find each other.
func (b *Builder) association(l *cause.Linked) {
	x, w := l.Exchange, &b.w
	req, resp := &x.Req, &x.Resp
	if x.OneWay && x.FromServer {
		req, resp = resp, req
	}
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
