package http2

import (
	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
)

// data reads a DATA frame: that it was sent, and, of gRPC, how many messages
// begin in it.
func (p *parser) data(side l7.Side, f h2.Frame, w l7.Window, m *l7.Message) (int, error) {
	n := f.Size()
	s := p.streams.get(f.Stream)
	if s == nil || side == l7.Client && s.reqEnd {
		return n, l7.ErrSkip
	}
	end := f.EndStream()
	if s.kind.rpc() || s.pending {
		b := w.B[h2.HeaderLen:min(n, len(w.B))]
		c := s.count[side]
		if !c.walk(f, b) {
			if !w.End && len(w.B) < n && len(w.B) < l7.DefaultWindow {
				return 0, l7.ErrMore
			}
			c.unsure = true
		}
		s.count[side] = c
	}
	if !s.kind.rpc() && p.opt.Extract.WantsBody(side) && !s.keep(side, f, w) {
		return 0, l7.ErrMore
	}
	m.More = !end
	if side == l7.Client {
		m.Continues = true
		if s.pending {
			switch is, not := s.count[side].looks(end); {
			case is:
				s.late(m)
			case not:
				p.settle(s, m)
			}
		}
		s.reqEnd = end
	}
	if end {
		p.ended(s, side, m)
		if side == l7.Server {
			p.streams.drop(s)
		}
	}
	return n, nil
}

// keep keeps the data of f, as far as rules look. It reports false if more of it
// has to come first.
func (s *stream) keep(side l7.Side, f h2.Frame, w l7.Window) bool {
	room := l7.MaxBody - len(s.body[side])
	if room <= 0 || f.Flags&h2.FlagPadded != 0 { // nobody pads
		return true
	}
	b, want := w.B[h2.HeaderLen:], min(f.Length, room)
	if len(b) < want && !w.End {
		return false
	}
	s.body[side] = append(s.body[side], b[:min(len(b), want)]...)
	return true
}

// walk goes through the payload of f, of which b is there, message by message.
// It reports false if a prefix that it needs is not there yet; c is of no use
// then.
func (c *counter) walk(f h2.Frame, b []byte) bool {
	if c.unsure {
		return true
	}
	length := f.Length
	if f.Flags&h2.FlagPadded != 0 {
		if len(b) == 0 {
			return f.Length == 0
		}
		length -= 1 + int(b[0])
		if b = b[1:]; length < 0 {
			c.unsure = true
			return true
		}
	}
	for off := 0; off < length; {
		if c.left > 0 {
			k := min(int64(c.left), int64(length-off))
			c.left -= uint32(k)
			off += int(k)
			continue
		}
		if off >= len(b) {
			return false
		}
		k := copy(c.prefix[c.have:], b[off:min(len(b), length)])
		off += k
		if c.have += uint8(k); c.have < uint8(len(c.prefix)) {
			return off >= length
		}
		c.have = 0
		if c.prefix[0]&^1 != 0 { // reserved bits: not what it seemed to be
			c.unsure, c.foreign = true, true
			return true
		}
		c.compressed = c.compressed || c.prefix[0] == 1
		c.n++
		c.left = h2.U32(c.prefix[1:])
	}
	return true
}

// looks says whether what was sent so far is gRPC for sure, or is not: whole
// messages up to the end of the stream, none longer than any server takes. A
// body without any, or with parts that were not seen, says neither.
func (c *counter) looks(end bool) (is, not bool) {
	open := c.left > 0 || c.have > 0
	return end && !open && !c.unsure && c.n > 0, c.foreign || !c.unsure && (c.left > maxLateMessage || end && open)
}

// maxLateMessage is the longest message that is believed of a stream whose
// headers are unknown: servers take 4 MiB unless told otherwise.
const maxLateMessage = 4 << 20

// ended: side has said all. Of a call the messages are counted.
func (p *parser) ended(s *stream, side l7.Side, m *l7.Message) {
	if m.More {
		return
	}
	if !s.kind.rpc() {
		if b := s.body[side]; len(b) > 0 {
			p.opt.Extract.Body(m, b, len(b) < l7.MaxBody)
			s.body[side] = nil
		}
		return
	}
	if side == l7.Server {
		p.counts(s, m)
		return
	}
	if !s.count[l7.Client].unsure {
		m.AddInt(requestMessages, int64(s.count[l7.Client].n))
		s.said = true
	}
}

const (
	requestMessages  = "hopscope.rpc.request.messages"
	responseMessages = "hopscope.rpc.response.messages"
)

// counts says how many messages each side has sent, when a stream is over.
func (p *parser) counts(s *stream, m *l7.Message) {
	if !s.kind.rpc() {
		return
	}
	if c := &s.count[l7.Client]; !c.unsure && !s.said {
		m.AddInt(requestMessages, int64(c.n))
	}
	if c := &s.count[l7.Server]; !c.unsure {
		m.AddInt(responseMessages, int64(c.n))
	}
	if (s.count[0].compressed || s.count[1].compressed) && s.coding != "" {
		m.Add("hopscope.rpc.compression", s.coding)
	}
}
