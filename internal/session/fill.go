package session

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// What a message says goes into its half of an exchange, and past the rules that
// look into messages.

// show shows a message of n bytes to the rules, or keeps the head of it until
// more has come.
func (s *session) show(h *half, n uint64, head []byte, m *l7.Message) {
	x := s.options.Extract
	h.text, h.size = h.text[:0], n
	switch {
	case s.proto.Bodies || !x.WantsText(m):
	case uint64(len(head)) < min(n, l7.MaxBody):
		h.text = append(h.text, head...)
	default:
		x.Message(m, head, uint64(len(head)) == n)
	}
}

// shown shows what was kept of p's message to the rules.
func (s *session) shown(h *half, p *pending, side l7.Side, whole bool) {
	if len(h.text) == 0 {
		return
	}
	s.options.Extract.Message(&p.of(side).Msg, h.text, whole)
	s.settle(p, false)
	h.text = nil
}

// settle gives what rules found in p its place, as far as p is known.
func (s *session) settle(p *pending, last bool) {
	x := s.options.Extract
	if x == nil {
		return
	}
	x.Settle(s.proto, &p.Req.Msg, &p.Req.Msg, last)
	x.Settle(s.proto, &p.Resp.Msg, &p.Req.Msg, last)
}

// fill writes m into the half, or adds it to what is there.
func (e *Engine) fill(f *Half, at *mark, n uint64, head []byte, m *l7.Message) {
	f.End, f.Last = e.cur.time, e.cur.ctx
	f.Bytes += n
	f.Parts++
	if k := e.cfg.Payload - len(f.Payload); k > 0 {
		f.Payload = append(f.Payload, head[:min(k, len(head))]...)
	}
	if f.Seen {
		if f.Body == 0 {
			f.Body = at.time
		}
		merge(&f.Msg, m)
		return
	}
	f.Seen = true
	f.Pos, f.Seq, f.Start, f.Ctx = at.pos, at.seq, at.time, at.ctx
	if m != &f.Msg {
		f.Msg.Set(m)
	}
}

// merge adds what a continuation says.
func merge(to, m *l7.Message) {
	to.Head = nil
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&to.Op, m.Op)
	set(&to.Target, m.Target)
	set(&to.Route, m.Route)
	set(&to.Name, m.Name)
	set(&to.Code, m.Code)
	set(&to.Error, m.Error)
	set(&to.Domain, m.Domain)
	set(&to.Version, m.Version)
	set(&to.Session, m.Session)
	if m.Status != l7.StatusUnset {
		to.Status = m.Status
	}
	if m.As != nil {
		to.As = m.As
	}
	if m.Note != 0 {
		to.Note = m.Note
	}
	if m.Flow != l7.FlowCall {
		to.Flow = m.Flow
	}
	if m.Trace.TraceID != "" {
		id := to.Trace.RequestID
		to.Trace = m.Trace
		set(&id, m.Trace.RequestID)
		to.Trace.RequestID = id
	} else {
		set(&to.Trace.RequestID, m.Trace.RequestID)
	}
	to.Attrs = append(to.Attrs, m.Attrs...)
}
