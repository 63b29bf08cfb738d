package session

import (
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/stream"
)

// keepBuffer is how much buffer a direction may hold on to while it is empty.
const keepBuffer = 8 << 10

// read runs the parser over what direction d has: its buffer, then b. final:
// nothing follows b but a hole or the end.
func (e *Engine) read(s *session, d stream.Dir, b []byte, final bool) {
	h := &s.half[d]
	side := s.side(d)
	buffered := len(h.buf) > 0
	w := b
	if buffered {
		if len(b) > 0 {
			h.keep(b, e.cur)
		}
		w = h.buf
	}
	if side == l7.Client && s.spoke && s.last == l7.Server {
		e.turn(s, d)
	}
	base := h.next - uint64(len(w))
	off := 0
	for off < len(w) && !s.mute {
		if h.skip > 0 {
			k := min(h.skip, uint64(len(w)-off))
			e.keep(s, d, w[off:off+int(k)])
			if len(h.text) > 0 {
				h.text = append(h.text, w[off:off+min(int(k), max(0, l7.MaxBody-len(h.text)))]...)
			}
			off += int(k)
			e.skipped(s, d, k)
			continue
		}
		if !h.synced {
			k := e.resync(s, d, base+uint64(off), w[off:])
			if k < 0 {
				s.miss(d, uint64(len(w)-off))
				break
			}
			s.miss(d, uint64(k))
			off += k
			h.synced, h.found = true, true
		}
		m := e.into(s, d)
		n, err := e.parse(s, side, l7.Window{B: w[off:], End: final, Req: s.request(side)}, m)
		if n <= 0 && (err == nil || err == l7.ErrSkip || err == l7.ErrEnd || err == l7.ErrBlind) {
			err = l7.ErrLost // a parser that does not move on would never end
		}
		switch err {
		case nil, l7.ErrSkip, l7.ErrEnd, l7.ErrBlind:
		default:
			m.Reset() // m may be where an answer is to be
		}
		switch err {
		case nil, l7.ErrSkip, l7.ErrEnd, l7.ErrBlind:
			h.lost = 0
			h.at(&e.cur, base+uint64(off), &e.at)
			head := w[off:min(len(w), off+n)]
			off += len(head)
			h.skip = uint64(n - len(head))
			if err != nil {
				e.keep(s, d, head)
				e.extend(s, d, uint64(n))
				if err == l7.ErrEnd {
					e.ended(s, d, m)
				}
				over, batch, sw := m.Over, m.Batch, m.Switch
				m.Reset()
				if over && batch != 0 {
					e.over(s, batch)
				}
				h.synced = h.synced && err != l7.ErrBlind
				if !sw {
					break
				}
				e.switched(s)
				e.relook(s, d, w[off:])
				return
			}
			if h.found && h.open != nil && h.more && s.proto.Pairing == l7.InOrder {
				skip := h.skip
				e.finish(s, d) // its end lies in the hole
				h.skip = skip
			}
			h.found = false
			e.message(s, d, &e.at, uint64(n), head, m)
			if s.proto == nil { // switched: look anew at what follows
				e.relook(s, d, w[off:])
				return
			}
		case l7.ErrMore:
			limit := s.proto.MaxWindow
			if limit == 0 {
				limit = l7.DefaultWindow
			}
			switch {
			case final:
				s.miss(d, uint64(len(w)-off))
				off = len(w)
			case len(w)-off >= limit:
				e.stats.WindowFull.Add(1)
				s.miss(d, uint64(len(w)-off))
				off = len(w)
				e.lose(s, d)
			default:
				h.retain(buffered, w, off, e.cur)
				return
			}
		case errPanic:
			off = len(w)
			e.mute(s)
		default:
			s.st.LostSync.Add(1)
			s.miss(d, uint64(len(w)-off))
			off = len(w)
			e.lose(s, d)
		}
	}
	h.drop()
}

// retain keeps w[off:] for the next call. w is the buffer itself if buffered.
func (h *half) retain(buffered bool, w []byte, off int, m mark) {
	if !buffered {
		m.pos, m.seq = m.pos+uint64(off), m.seq+uint32(off)
		h.keep(w[off:], m)
		return
	}
	if off == 0 {
		return
	}
	h.buf = h.buf[:copy(h.buf, w[off:])]
	first := h.next - uint64(len(h.buf))
	k := 0
	for k+1 < len(h.marks) && h.marks[k+1].pos <= first {
		k++
	}
	h.marks = h.marks[:copy(h.marks, h.marks[k:])]
}

// drop empties the buffer.
func (h *half) drop() {
	h.marks = h.marks[:0]
	if cap(h.buf) > keepBuffer {
		h.buf = nil
	}
	h.buf = h.buf[:0]
}

// at makes m the mark of the byte at pos: who moved it, and its sequence
// number. now is that of the chunk in hand, where there is no buffer.
func (h *half) at(now *mark, pos uint64, m *mark) {
	if i := len(h.marks) - 1; i >= 0 {
		for i > 0 && h.marks[i].pos > pos {
			i--
		}
		now = &h.marks[i]
	}
	*m = *now
	m.seq += uint32(pos - m.pos)
	m.pos = pos
}

// into is where the next message of direction d is read to: empty, and if it can
// be told, where it will stay, which saves copying it. Whoever does not leave it
// there resets it.
func (e *Engine) into(s *session, d stream.Dir) *l7.Message {
	if h := &s.half[d]; s.side(d) == l7.Server && s.proto.Pairing == l7.InOrder &&
		s.head < len(s.fifo) && (h.open == nil || !h.more) && s.options.Extract == nil {
		if p := s.fifo[s.head]; !p.Resp.Seen && !p.Req.Msg.Silent {
			return &p.Resp.Msg
		}
	}
	if e.spare == nil {
		e.spare = e.fresh()
	}
	return &e.spare.Req.Msg
}

// request is what the next message of side answers, if that is certain.
func (s *session) request(side l7.Side) *l7.Message {
	if side != l7.Server || s.proto.Pairing != l7.InOrder {
		return nil
	}
	if h := &s.half[s.dir(side)]; h.open != nil && h.more {
		return &h.open.Req.Msg
	}
	if s.head == len(s.fifo) || (s.unsure && s.sure == 0) {
		return nil
	}
	return &s.fifo[s.head].Req.Msg
}

// keep adds b to the payload of the message that direction d has open: bodies
// come in as many chunks as there are, and plugins want one.
func (e *Engine) keep(s *session, d stream.Dir, b []byte) {
	if p := s.half[d].open; p != nil && e.cfg.Payload > 0 {
		f := p.of(s.side(d))
		if k := e.cfg.Payload - len(f.Payload); k > 0 {
			f.Payload = append(f.Payload, b[:min(k, len(b))]...)
		}
	}
}

// skipped accounts for n bytes of the body of the current message.
func (e *Engine) skipped(s *session, d stream.Dir, n uint64) {
	h := &s.half[d]
	h.skip -= n
	p := h.open
	if p == nil {
		return
	}
	f := p.of(s.side(d))
	f.End, f.Last = e.cur.time, e.cur.ctx
	if h.skip == 0 {
		s.shown(h, p, s.side(d), uint64(len(h.text)) == h.size)
	}
	switch {
	case h.skip > 0:
	case !h.more:
		e.finish(s, d)
	case s.proto.Pairing == l7.ByStream:
		h.open = nil // the next frame says whose it is
	}
}

// extend accounts for n bytes that said nothing, inside an open message.
func (e *Engine) extend(s *session, d stream.Dir, n uint64) {
	h := &s.half[d]
	if d == s.client {
		s.unseen.bytes += n
	}
	if p := h.open; p != nil {
		f := p.of(s.side(d))
		f.Bytes += n
		f.End, f.Last = e.cur.time, e.cur.ctx
	}
}

// ended: the message that direction d has open ends with what was just read,
// or with what of it is still to come.
func (e *Engine) ended(s *session, d stream.Dir, m *l7.Message) {
	h := &s.half[d]
	if h.open == nil || !h.more {
		return
	}
	merge(&h.open.of(s.side(d)).Msg, m)
	s.settle(h.open, false)
	if h.more = false; h.skip == 0 {
		e.finish(s, d)
	}
}

// of is the half of p that side sends.
func (p *pending) of(side l7.Side) *Half {
	if side == l7.Client || p.OneWay {
		return &p.Req
	}
	return &p.Resp
}

// absent accounts for n bytes of direction d that are not there: lost, or
// beyond what the capture keeps.
func (e *Engine) absent(s *session, d stream.Dir, n uint64, lost bool) {
	h := &s.half[d]
	// What is beyond the capture may be more of a body that comes in pieces. There
	// are requests in it if there were in what was kept of the same call, one behind
	// the other.
	reckon := lost || e.found > 1 && s.proto != nil && s.proto.Pairing == l7.InOrder
	s.unseen.torn = s.unseen.torn || reckon
	if s.proto == nil {
		s.miss(d, n)
		h.next += n
		h.drop()
		h.synced, h.holed = false, true
		return
	}
	if len(h.buf) > 0 {
		e.read(s, d, nil, true)
		if s.proto == nil || s.mute {
			h.next += n
			return
		}
	}
	h.next += n
	if h.open != nil {
		s.shown(h, h.open, s.side(d), false)
	}
	known := min(h.skip, n)
	if known > 0 {
		e.skipped(s, d, known)
	}
	if known == n {
		return
	}
	if reckon && (h.open == nil || !h.more) { // else they are a message's that is known
		s.miss(d, n-known)
	}
	if h.open != nil && !h.more {
		e.finish(s, d)
	}
	e.lose(s, d)
	if d == s.client {
		e.reckon(s)
	}
}

// lose is called when the reading of direction d has lost its place, with
// h.next where reading goes on.
func (e *Engine) lose(s *session, d stream.Dir) {
	h := &s.half[d]
	h.synced, h.skip = false, 0
	if h.open != nil && !h.more {
		h.open = nil
	}
	if r, ok := s.parser.(l7.Resyncer); ok {
		r.Resync(s.side(d))
	} else {
		s.parser = s.proto.New(s.options)
	}
	if s.proto.Pairing != l7.InOrder {
		if s.side(d) == l7.Server {
			for _, p := range s.streams {
				p.holed = true
			}
		}
		return
	}
	if s.side(d) == l7.Client {
		// Requests may be missing behind those that are known: these stay sure.
		if !s.unsure {
			s.unsure, s.sure = true, len(s.fifo)-s.head
		}
		s.doubt = h.next
		return
	}
	e.missed(s, d, h.next)
}

// missed: what server bytes of direction d there were before pos, from where
// reading goes on, were not read.
func (e *Engine) missed(s *session, d stream.Dir, pos uint64) {
	// Answers are missing. A request whose client had consumed less than where
	// reading goes on may have been answered in the hole. If it is the only
	// one, it has been (messages lie whole between two places that messages
	// start at); if there are several, nobody knows how many.
	in := 0
	for _, p := range s.fifo[s.head:] {
		if p.hasOther && p.other >= pos {
			break
		}
		in++
	}
	for range in {
		e.unanswered(s, s.pop())
	}
	if in > 1 || (in == 1 && s.half[d].open != nil) {
		s.unsure, s.sure = true, 0
	}
}

// turn is called when the client speaks after the server has: whatever was in
// doubt is over if the client has seen all that the server said.
func (e *Engine) turn(s *session, d stream.Dir) {
	o := &s.half[d^1]
	if e.cur.hasOther && o.started && e.cur.other < o.next {
		return // answers are still on their way
	}
	if o.open != nil && !o.synced {
		e.finish(s, d^1)
	}
	// Requests lost in this very burst are not over: the server must have spoken
	// after the hole.
	over := s.doubt < e.cur.pos
	if e.cur.hasOther {
		over = s.doubt <= s.heard
	}
	if s.unsure && over && s.proto.Pairing == l7.InOrder {
		for s.head < len(s.fifo) {
			e.unanswered(s, s.pop())
		}
		s.unsure = false
	}
}

// resync finds where the next message of direction d starts in b, which begins
// at pos, or returns -1.
func (e *Engine) resync(s *session, d stream.Dir, pos uint64, b []byte) int {
	side := s.side(d)
	k := -1
	if f, ok := s.parser.(l7.Finder); ok {
		k = f.Find(side, b)
	} else {
		want := l7.Request
		if side == l7.Server {
			want = l7.Response
		}
		if v := e.verdict(s.proto, b); v == want || v == l7.Either || e.quiet(s, d, pos) {
			k = 0
		}
	}
	if k < 0 {
		return e.lostAgain(s, d)
	}
	if h := &s.half[d]; h.dropped {
		h.dropped = false
		if side == l7.Server && s.proto.Pairing == l7.InOrder {
			e.missed(s, d, pos) // answers may have been in what was not understood
		}
	}
	return k
}

// quiet reports whether a message must start at pos of direction d, whatever
// it looks like: the other end had consumed exactly so much when it spoke, and
// the two take turns.
func (e *Engine) quiet(s *session, d stream.Dir, pos uint64) bool {
	if s.proto.Pairing != l7.InOrder {
		return false
	}
	if s.side(d) == l7.Client {
		o := &s.half[d^1]
		return s.spoke && s.last == l7.Server && e.cur.hasOther && o.started && e.cur.other == o.next
	}
	n := len(s.fifo) - s.head
	if n != 1 {
		return false
	}
	p := s.fifo[s.head]
	return p.hasOther && p.other == pos
}

func (e *Engine) lostAgain(s *session, d stream.Dir) int {
	h := &s.half[d]
	h.dropped = true
	if h.lost++; h.lost >= maxLost {
		h.lost = 0
		e.unlearn(s)
	}
	return -1
}

// unlearn forgets what the connection speaks, after its requests are reported.
func (e *Engine) unlearn(s *session) {
	e.drain(s, LostEvents)
	s.proto, s.parser = nil, nil
	for i := range s.half {
		h := &s.half[i]
		h.drop()
		h.synced, h.skip, h.open, h.more = false, 0, nil, false
	}
	s.unsure, s.spoke = false, false
	if s.looks++; s.looks >= e.cfg.MaxLooks {
		e.stats.Unknown.Add(1)
		e.mute(s)
	}
}

// relook is unlearn after a message that said the protocol changes here; rest
// follows it in direction d.
func (e *Engine) relook(s *session, d stream.Dir, rest []byte) {
	h := &s.half[d]
	h.drop()
	if len(rest) == 0 || s.mute {
		return
	}
	rest = append([]byte(nil), rest...) // it may lie in the buffer
	c := stream.Chunk{Conn: s.conn, Dir: d, Pos: h.next - uint64(len(rest)), Wire: uint32(len(rest)), B: rest, Time: e.cur.time, Ctx: e.cur.ctx}
	e.cur.seq += uint32(c.Pos - e.cur.pos)
	e.cur.pos = c.Pos
	if e.detect(s, &c, rest, false) {
		e.read(s, d, rest, false)
	}
}
