package l7test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
)

// Format prints an exchange as cases have it: a line of where and what, then
// an indented line for each attribute.
//
//	redis GET a req 0+20 resp 0+7 ok
//	http GET /a route=/a req 0+40 resp 0+19 code=404 client_error
func Format(x *session.Exchange) string {
	var b strings.Builder
	req, resp := &x.Req.Msg, &x.Resp.Msg
	pick := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	b.WriteString(x.Protocol.Name)
	word := func(s string) {
		if s == "" {
			s = "-"
		} else if q := strconv.Quote(s); len(q) != len(s)+2 || strings.ContainsAny(s, " =") {
			s = q
		}
		b.WriteString(" " + s)
	}
	pair := func(k, v string) {
		if v != "" {
			word("")
			s := b.String()
			b.Reset()
			b.WriteString(strings.TrimSuffix(s, " -"))
			if q := strconv.Quote(v); len(q) != len(v)+2 || strings.ContainsAny(v, " =") {
				v = q
			}
			b.WriteString(" " + k + "=" + v)
		}
	}
	word(pick(req.Op, resp.Op))
	word(pick(req.Target, resp.Target))
	pair("name", pick(req.Name, resp.Name))
	if r := pick(req.Route, resp.Route); r != pick(req.Target, resp.Target) {
		pair("route", r)
	}
	pair("domain", pick(req.Domain, resp.Domain))
	pair("version", pick(req.Version, resp.Version))
	pair("session", pick(req.Session, resp.Session))
	if f := max(req.Flow, resp.Flow); f == l7.FlowPublish {
		b.WriteString(" publish")
	} else if f == l7.FlowDeliver {
		b.WriteString(" deliver")
	}
	switch {
	case x.OneWay && x.FromServer:
		fmt.Fprintf(&b, " server-oneway %d+%d", x.Req.Pos, x.Req.Bytes)
	case x.OneWay:
		fmt.Fprintf(&b, " oneway %d+%d", x.Req.Pos, x.Req.Bytes)
	default:
		fmt.Fprintf(&b, " req %d+%d", x.Req.Pos, x.Req.Bytes)
		if x.Resp.Seen {
			fmt.Fprintf(&b, " resp %d+%d", x.Resp.Pos, x.Resp.Bytes)
		}
	}
	if x.Req.Parts > 1 || x.Resp.Parts > 1 {
		fmt.Fprintf(&b, " parts %d/%d", x.Req.Parts, x.Resp.Parts)
	}
	pair("code", pick(resp.Code, req.Code))
	pair("error", pick(resp.Error, req.Error))
	if s := max(resp.Status, req.Status); s != l7.StatusUnset {
		b.WriteString(" " + s.String())
	}
	if x.Incomplete != session.Complete {
		b.WriteString(" " + x.Incomplete.String())
	}
	b.WriteByte('\n')
	for _, m := range []*l7.Message{req, resp} {
		if t := &m.Trace; t.TraceID != "" || t.SpanID != "" {
			fmt.Fprintf(&b, "  trace %s %s %s %s\n", t.Format, t.TraceID, t.SpanID, t.ParentSpanID)
		}
		if m.Trace.RequestID != "" {
			fmt.Fprintf(&b, "  request_id %s\n", m.Trace.RequestID)
		}
		for _, a := range m.Attrs {
			switch a.Kind {
			case l7.AttrInt:
				fmt.Fprintf(&b, "  %s=%d\n", a.Key, a.Int)
			case l7.AttrBool:
				fmt.Fprintf(&b, "  %s=%t\n", a.Key, a.Int != 0)
			default:
				fmt.Fprintf(&b, "  %s=%q\n", a.Key, a.Str)
			}
		}
	}
	return b.String()
}
