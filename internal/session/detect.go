package session

import (
	"slices"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// certain is the role confidence from which content may not overrule it.
const certain = 128

// detect asks the protocols about the first bytes of a direction. It returns
// true when the connection's protocol is known and b is still to be read; what
// it could not decide yet it keeps.
func (e *Engine) detect(s *session, c *stream.Chunk, b []byte, final bool) bool {
	h := &s.half[c.Dir]
	if s.raw {
		e.raw(s, c, b)
		return false
	}
	head := b
	if len(h.buf) > 0 {
		h.keep(b, e.cur)
		head = h.buf
	}
	before, more := 0, false
	if s.looks == 0 {
		before, more = preface(head)
	}
	var p *l7.Protocol
	var v l7.Verdict
	if before == len(head) {
		h.buf, h.marks = h.buf[:0], h.marks[:0]
		return false
	}
	if !more {
		p, v, more = e.ask(s, c.Dir, head[before:])
	}
	switch {
	case p != nil:
		e.identify(s, c.Dir, p, v)
		h.skip = uint64(before)
		if len(h.buf) > 0 {
			// b is in the buffer already: read from there.
			h.synced = true
			e.read(s, c.Dir, nil, final)
			return false
		}
		h.synced = true
		return true
	case more && !final && len(head) < detectWindow:
		if len(h.buf) == 0 {
			h.keep(b, e.cur)
		}
		return false
	}
	taken := e.raw(s, c, b)
	s.miss(c.Dir, uint64(max(len(b), len(h.buf))))
	h.buf, h.marks = h.buf[:0], h.marks[:0]
	h.synced = false
	if taken {
		return false
	}
	if !s.look(c.Dir, h.holed) {
		return false
	}
	if s.looks >= e.cfg.MaxLooks {
		e.stats.Unknown.Add(1)
		e.mute(s)
	}
	return false
}

// raw offers b, and what of the direction was kept before it, to whoever takes
// what no protocol knows. A connection that was taken once is not looked at
// again: what it says later may look like something by accident.
func (e *Engine) raw(s *session, c *stream.Chunk, b []byte) bool {
	if e.cfg.Unparsed == nil {
		return false
	}
	h := &s.half[c.Dir]
	part := *c
	part.Pos, part.Seq, part.B = e.cur.pos, e.cur.seq, b
	part.Wire -= uint32(min(e.cur.pos-c.Pos, uint64(part.Wire))) // what had come before
	if len(h.buf) > 0 {
		first := h.marks[0]
		part.Wire += uint32(len(h.buf) - len(b))
		part.Pos, part.Seq, part.Time, part.Ctx, part.B = first.pos, first.seq, first.time, first.ctx, h.buf
	}
	if !e.cfg.Unparsed(&part) {
		return false
	}
	s.raw = true
	// The other direction may have kept what came before anything was certain.
	if o := &s.half[c.Dir^1]; len(o.buf) > 0 {
		first := o.marks[0]
		part.Dir, part.Wire = c.Dir^1, uint32(len(o.buf))
		part.Pos, part.Seq, part.Time, part.Ctx, part.B = first.pos, first.seq, first.time, first.ctx, o.buf
		e.cfg.Unparsed(&part)
		o.buf, o.marks = o.buf[:0], o.marks[:0]
	}
	return true
}

// runLooks is how many chunks of one end in a row count as one look where they
// may be the middle of a long message.
const runLooks = 8

// look counts a look that found nothing. On a connection that is older than the
// capture, or has lost bytes, what one end says at a stretch may be the rest of
// one message: it counts once for every runLooks chunks.
func (s *session) look(d stream.Dir, holed bool) bool {
	if (s.conn.Midstream || holed) && s.run > 0 && s.run < runLooks && s.ran == d {
		s.run++
		return false
	}
	s.ran, s.run = d, 1
	s.looks++
	return true
}

// ask is the detection proper: first the protocols of the connection's ports,
// then the others.
func (e *Engine) ask(s *session, d stream.Dir, head []byte) (found *l7.Protocol, v l7.Verdict, more bool) {
	c := s.conn
	ports := [2]uint16{c.A.Port(), c.B.Port()}
	if f := s.judged.Force; f != nil && f.Transport&c.Transport != 0 {
		if slices.Contains(s.judged.Forbid, f) {
			return nil, l7.No, false
		}
		if v = e.verdict(f, head); v >= l7.Request && e.plausible(c, d, v) {
			return f, v, false
		}
		return nil, l7.No, v == l7.More || v == l7.Either
	}
	for pass := range 2 {
		for _, p := range e.cfg.Protocols {
			if p.Transport&c.Transport == 0 || onPort(p, ports) != (pass == 0) || (p.Weak && pass == 1) ||
				slices.Contains(s.judged.Forbid, p) {
				continue
			}
			switch v := e.verdict(p, head); {
			case v == l7.More:
				more = true
			case v == l7.Either:
				if _, known := clientOf(c, p); known {
					return p, v, false
				}
				more = true
			case v >= l7.Request && e.plausible(c, d, v):
				return p, v, false
			case v >= l7.Request:
				e.stats.Conflict.Add(1)
			}
		}
	}
	return nil, l7.No, more
}

// clientOf is the direction of the client of a connection that speaks p: where
// nothing else tells, the end on one of p's ports is the server.
func clientOf(c *stream.Conn, p *l7.Protocol) (d stream.Dir, known bool) {
	if d, known = c.ClientDir(); known {
		return d, true
	}
	a, b := slices.Contains(p.Ports, c.A.Port()), slices.Contains(p.Ports, c.B.Port())
	if a == b {
		return d, false
	}
	if a {
		return stream.FromB, true
	}
	return stream.FromA, true
}

func onPort(p *l7.Protocol, ports [2]uint16) bool {
	for _, q := range p.Ports {
		if q == ports[0] || q == ports[1] {
			return true
		}
	}
	return false
}

// plausible: a request comes from the client, as far as the connection's own
// evidence is certain who that is.
func (e *Engine) plausible(c *stream.Conn, d stream.Dir, v l7.Verdict) bool {
	client, known := c.ClientDir()
	if v == l7.Either {
		return known
	}
	return !known || c.RoleConfidence < certain || (d == client) == (v == l7.Request)
}

// identify settles protocol and direction.
func (e *Engine) identify(s *session, d stream.Dir, p *l7.Protocol, v l7.Verdict) {
	i := e.index[p]
	s.proto, s.st = p, &e.stats.PerProto[i]
	if s.held != nil && !p.OfConn {
		e.unhold(s)
	}
	s.st.Conns.Add(1)
	c := s.conn
	if client, known := c.ClientDir(); known && (c.RoleConfidence >= certain || v == l7.Either) {
		s.client = client
	} else {
		s.client = d
		if v == l7.Response {
			s.client = d ^ 1
		} else if v == l7.Either {
			s.client, _ = clientOf(c, p)
		}
		c.Role, c.RoleConfidence = stream.RoleClient, certain-1
		if s.client == stream.FromB {
			c.Role = stream.RoleServer
		}
	}
	s.options = e.optionsOf(i, c, s.client)
	s.parser = p.New(s.options)
	if h := &s.half[s.client]; h.holed && p.Pairing == l7.InOrder {
		s.unsure, s.sure, s.doubt = true, 0, h.next
	}
	if e.cfg.Identified != nil {
		e.cfg.Identified(c, p)
	}
}

// keep appends b to the buffer.
func (h *half) keep(b []byte, m mark) {
	h.marks = append(h.marks, m)
	h.buf = append(h.buf, b...)
}

// datagram reads one datagram: whole messages, no stream.
func (e *Engine) datagram(s *session, c *stream.Chunk) {
	if s.proto == nil {
		if s.raw && e.cfg.Unparsed(c) {
			return
		}
		p, v, _ := e.ask(s, c.Dir, c.B)
		if p == nil {
			if e.cfg.Unparsed != nil && e.cfg.Unparsed(c) {
				s.raw = true
				return
			}
			if s.looks++; s.looks >= e.cfg.MaxLooks {
				e.stats.Unknown.Add(1)
				e.mute(s)
			}
			return
		}
		e.identify(s, c.Dir, p, v)
	}
	h := &s.half[c.Dir]
	h.started, h.synced = true, true
	h.next = c.Pos + uint64(len(c.B))
	e.read(s, c.Dir, c.B, true)
	if h.open != nil { // cut by the capture: what there is of it is all
		h.skip = 0
		e.finish(s, c.Dir)
	}
	// Nothing of a datagram is left for the next.
	h.buf, h.marks, h.skip, h.open, h.more = h.buf[:0], h.marks[:0], 0, nil, false
}
