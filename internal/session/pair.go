package session

import (
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// message takes what the parser made of n bytes at mark at; head is what there
// is of them. What is still missing of the n bytes is in the half's skip. m, which
// is of into, stays where it is or is empty afterwards.
func (e *Engine) message(s *session, d stream.Dir, at *mark, n uint64, head []byte, m *l7.Message) {
	h := &s.half[d]
	side := s.side(d)
	s.spoke, s.last = true, side
	e.found++
	if m.Fresh && h.open != nil && h.more {
		if h.open.Incomplete == Complete {
			h.open.Incomplete = LostEvents // its end was not seen
		}
		e.finish(s, d)
	}
	through := m.Through > m.Stream && m.Type == l7.TypeResponse && !m.More
	stays := false
	var p *pending
	switch m.Type {
	case l7.TypeOneWay:
		p = e.oneWay(s, side, m)
	case l7.TypeRequest:
		p = e.request(s, h, at, m)
	default:
		p = e.response(s, h, at, m)
	}
	if p != nil {
		f := p.of(side)
		first := !f.Seen
		stays = m == &f.Msg
		if s.options.Extract != nil {
			s.show(h, n, head, m)
		}
		e.fill(f, at, n, head, m)
		s.settle(p, false)
		if first {
			e.tell(p, f)
		}
		if side == l7.Client {
			s.unseen.asked(n, first, at)
		}
		if s.proto.Pairing == l7.ByStream {
			if side == l7.Client || p.OneWay {
				p.reqOpen = m.More
			} else {
				p.respOpen = m.More
			}
		}
	}
	sw, opaque := m.Switch, m.Opaque
	switch {
	case p == nil:
		h.open, h.more = nil, false
	case h.skip > 0:
		h.open, h.more = p, m.More
		p.noReply(m)
	case m.More:
		if s.proto.Pairing == l7.InOrder {
			h.open, h.more = p, true
		}
	default:
		p.noReply(m)
		h.open, h.more = p, false
		e.finish(s, d)
	}
	if through && s.proto != nil && s.proto.Pairing == l7.ByStream && h.skip == 0 {
		e.through(s, d, at, n, head, m)
	}
	if !stays {
		m.Reset()
	}
	if sw {
		e.switched(s)
	}
	if opaque {
		e.drain(s, Complete)
		e.mute(s)
	}
}

// over ends the open requests of a batch, which the server answers no more.
func (e *Engine) over(s *session, batch uint64) {
	for s.head < len(s.fifo) && s.fifo[s.head].Req.Msg.Batch == batch {
		p := s.pop()
		e.forget(s, p)
		e.report(s, p, Complete)
		e.release(p)
	}
}

// oneWay opens an exchange of one message, or finds the one that m continues.
func (e *Engine) oneWay(s *session, side l7.Side, m *l7.Message) *pending {
	byStream := s.proto.Pairing == l7.ByStream
	if byStream {
		if p := s.streams[m.Stream]; p != nil && p.OneWay && p.reqOpen {
			return p
		}
	}
	p := e.pending(s)
	p.OneWay, p.FromServer = true, side == l7.Server
	if byStream && m.More {
		e.enter(s, m.Stream, p)
	}
	return p
}

// newest takes the last request of h's side out of those that wait for an
// answer, or the one whose answer has begun if there is none.
func (s *session) newest(h *half) *pending {
	if n := len(s.fifo); n > s.head {
		p := s.fifo[n-1]
		s.fifo[n-1] = nil
		s.fifo = s.fifo[:n-1]
		s.sure = min(s.sure, n-1-s.head)
		return p
	}
	o := &s.half[stream.FromA]
	if o == h {
		o = &s.half[stream.FromB]
	}
	return o.open
}

// enter makes p the exchange that key names.
func (e *Engine) enter(s *session, key uint64, p *pending) {
	if s.streams == nil {
		s.streams = map[uint64]*pending{}
	}
	if len(s.streams) >= e.cfg.MaxPending {
		e.stats.PendFull.Add(1)
		e.drain(s, LostEvents)
	}
	if old := s.streams[key]; old != nil { // the id is used again: what it named is over, unseen
		e.forget(s, old)
		e.report(s, old, LostEvents)
		e.release(old)
	}
	p.key, p.keyed = key, true
	s.streams[key] = p
}

// through gives the answer m to all open requests behind m.Stream, up to
// m.Through.
func (e *Engine) through(s *session, d stream.Dir, at *mark, n uint64, head []byte, m *l7.Message) {
	first := m.Stream + 1
	if m.Through-first >= uint64(e.cfg.MaxPending) {
		first = m.Through - uint64(e.cfg.MaxPending) + 1
	}
	for k := first; ; k++ {
		if p := s.streams[k]; p != nil && !p.OneWay {
			e.fill(&p.Resp, at, n, head, m)
			s.half[d].open = p
			e.finish(s, d)
		}
		if k == m.Through {
			return
		}
	}
}

// tell says that a message of p was recognised.
func (e *Engine) tell(p *pending, f *Half) {
	to := e.cfg.Began
	if f == &p.Resp {
		to = e.cfg.Answered
	}
	if to != nil && !p.reported {
		to(&p.Exchange)
	}
}

// noReply turns an exchange that the client gave up into one that is over.
func (p *pending) noReply(m *l7.Message) {
	if m.NoReply {
		p.reqOpen, p.respOpen, p.gaveUp = false, false, true
	}
}

// request opens an exchange, or finds the one that m continues.
func (e *Engine) request(s *session, h *half, at *mark, m *l7.Message) *pending {
	if s.proto.Pairing == l7.InOrder {
		if h.open != nil && h.more {
			return h.open
		}
		if m.NoReply {
			return s.newest(h)
		}
		if len(s.fifo)-s.head >= e.cfg.MaxPending {
			e.stats.PendFull.Add(1)
			e.drain(s, LostEvents)
			s.unsure, s.sure = true, 0
		}
		p := e.pending(s)
		p.other, p.hasOther = at.other, at.hasOther
		s.push(p)
		return p
	}
	if p := s.streams[m.Stream]; p != nil && !p.OneWay {
		if p.reqOpen || m.NoReply {
			return p
		}
		// The id is used again: what it named is over, unseen; over UDP it is
		// the client asking again.
		why := LostEvents
		if s.conn.Transport == l7.UDP {
			why = Timeout
			s.st.Timeouts.Add(1)
		}
		delete(s.streams, m.Stream)
		e.forget(s, p)
		e.report(s, p, why)
		e.release(p)
	} else if m.NoReply || m.Continues {
		return nil
	}
	p := e.pending(s)
	e.enter(s, m.Stream, p)
	return p
}

// response finds the exchange that m answers.
func (e *Engine) response(s *session, h *half, at *mark, m *l7.Message) *pending {
	if s.proto.Pairing == l7.ByStream {
		p := s.streams[m.Stream]
		if p == nil || p.OneWay {
			p = nil
			s.st.Orphans.Add(1)
		}
		return p
	}
	if h.open != nil && h.more {
		return h.open
	}
	e.silent(s, m.Stream)
	if s.head == len(s.fifo) || (s.unsure && s.sure == 0) {
		s.st.Orphans.Add(1)
		return nil
	}
	if p := s.fifo[s.head]; p.Req.Msg.Stream != m.Stream || p.hasOther && at.pos < p.other {
		// Another's, or sent before the client asked: it answers something unseen.
		s.st.Orphans.Add(1)
		return nil
	}
	return s.pop()
}

// silent ends the requests that needed no answer, in front of the one that an
// answer with this Stream may be for. If there is none, nothing is over.
func (e *Engine) silent(s *session, stream uint64) {
	k := s.head
	for k < len(s.fifo) && s.fifo[k].Req.Msg.Silent && s.fifo[k].Req.Msg.Stream != stream {
		k++
	}
	if k == len(s.fifo) || s.fifo[k].Req.Msg.Stream != stream {
		return
	}
	for s.head < k {
		p := s.pop()
		e.forget(s, p)
		e.report(s, p, Complete)
		e.release(p)
	}
}

func (s *session) push(p *pending) {
	if s.head > 0 && s.head == len(s.fifo) {
		s.fifo, s.head = s.fifo[:0], 0
	} else if s.head > 64 && s.head*2 > len(s.fifo) {
		n := copy(s.fifo, s.fifo[s.head:])
		clear(s.fifo[n:])
		s.fifo, s.head = s.fifo[:n], 0
	}
	s.fifo = append(s.fifo, p)
}

func (s *session) pop() *pending {
	p := s.fifo[s.head]
	s.fifo[s.head] = nil
	s.head++
	if s.sure > 0 {
		s.sure--
	}
	return p
}

// finish ends the message that direction d had open. With the answer, the
// exchange is over.
func (e *Engine) finish(s *session, d stream.Dir) {
	h := &s.half[d]
	p := h.open
	h.open, h.more = nil, false
	if p == nil {
		return
	}
	if s.side(d) == l7.Client && !p.OneWay && !p.gaveUp {
		return
	}
	e.forget(s, p)
	if p.keyed {
		delete(s.streams, p.key)
	}
	e.report(s, p, p.Incomplete)
	e.release(p)
}

// forget takes p out of the halves that still point to it.
func (e *Engine) forget(s *session, p *pending) {
	for i := range s.half {
		if s.half[i].open == p {
			s.half[i].open, s.half[i].more = nil, false
		}
	}
}

// unanswered reports a request whose answer capture has lost.
func (e *Engine) unanswered(s *session, p *pending) {
	s.st.Unanswered.Add(1)
	e.forget(s, p)
	e.report(s, p, LostEvents)
	e.release(p)
}

// drain reports all open exchanges of a connection.
func (e *Engine) drain(s *session, why Incomplete) {
	for i := range s.half {
		// An answer that has begun is out of the queue already.
		if p := s.half[i].open; p != nil && p.Resp.Seen && s.proto.Pairing == l7.InOrder {
			e.forget(s, p)
			e.report(s, p, why)
			e.release(p)
		}
	}
	for s.head < len(s.fifo) {
		p := s.pop()
		e.forget(s, p)
		e.report(s, p, why)
		e.release(p)
	}
	for k, p := range s.streams {
		delete(s.streams, k)
		e.forget(s, p)
		e.report(s, p, why)
		e.release(p)
	}
}

// switched: the connection goes on in another protocol.
func (e *Engine) switched(s *session) {
	e.drain(s, Complete)
	s.proto, s.parser = nil, nil
	s.unsure, s.spoke = false, false
	for i := range s.half {
		s.half[i].synced, s.half[i].skip, s.half[i].open, s.half[i].more = false, 0, nil, false
	}
	if s.switches++; s.switches > maxSwitches {
		e.mute(s)
	}
}

// maxSwitches bounds protocol changes of one connection: plain text, an
// upgrade, TLS inside it.
const maxSwitches = 4

// report gives p to the next stage, once.
func (e *Engine) report(s *session, p *pending, why Incomplete) {
	if p.reported {
		return
	}
	if p.Req.Msg.NoReply && why == Truncated || p.Req.Msg.Silent && !p.Resp.Seen {
		why = Complete
	}
	p.reported = true
	s.settle(p, true)
	if p.Incomplete == Complete {
		p.Incomplete = why
	}
	p.Protocol = s.proto
	if as := p.Req.Msg.As; as != nil {
		p.Protocol = as
	} else if as := p.Resp.Msg.As; as != nil {
		p.Protocol = as
	}
	p.Over = max(e.now, e.cur.time)
	s.st.exchanges++
	switch {
	case p.Resp.Msg.Seals && s.held == nil:
		s.hold(p)
		return
	case !s.proto.OfConn:
		p.Facts = s.conn.Facts
		e.next(&p.Exchange)
	default:
		e.learn(p)
		e.next(&p.Exchange)
	}
	if s.held != nil {
		e.unhold(s)
	}
}

// pending is a new exchange; its request may be in it already, see into.
func (e *Engine) pending(s *session) *pending {
	p := e.spare
	e.spare = nil
	if p == nil {
		p = e.fresh()
	}
	p.Conn, p.Protocol, p.own = s.conn, s.proto, p
	return p
}

// fresh is an empty exchange, from the free list if it has one.
func (e *Engine) fresh() *pending {
	if n := len(e.free); n > 0 {
		p := e.free[n-1]
		e.free = e.free[:n-1]
		return p
	}
	p := &pending{}
	p.Req.Msg.Text, p.Resp.Msg.Text = &e.text, &e.text
	return p
}

// maxFree bounds the free list: beyond a burst the memory goes back.
const maxFree = 4096

// Recycle takes back an exchange that was kept.
func (e *Engine) Recycle(x *Exchange) {
	x.kept = false
	e.release(x.own)
}

func (e *Engine) release(p *pending) {
	if p.kept || len(e.free) >= maxFree {
		return
	}
	p.reset()
	e.free = append(e.free, p)
}
