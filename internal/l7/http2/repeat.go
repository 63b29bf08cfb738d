package http2

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
)

// repeat is the last call whose headers were all in the table: a client that
// calls the same method again says the same few bytes, and they mean the same as
// long as the table does. It is a tenth of reading them.
type repeat struct {
	state  h2.State
	n      uint8
	kind   kind
	block  [maxRepeat]byte
	method string
	coding string
	m      l7.Message
}

// maxRepeat bounds such a block: an index takes one byte or two.
const maxRepeat = 48

func (r *repeat) is(block []byte, now h2.State) bool {
	return r != nil && r.state == now && bytes.Equal(block, r.block[:r.n])
}

// learn takes what a block says, with strings that the table keeps.
func (p *parser) learn(block []byte, now h2.State, s *stream, m *l7.Message) {
	if len(block) > maxRepeat {
		return
	}
	if p.last == nil {
		p.last = &repeat{}
	}
	r := p.last
	r.state, r.n = now, uint8(copy(r.block[:], block))
	r.kind, r.method, r.coding = s.kind, s.method, s.coding
	r.m.Reset()
	r.m.Set(m)
}

// again opens s by the headers of the call before.
func (p *parser) again(s *stream, f h2.Frame, m *l7.Message) {
	r := p.last
	s.kind, s.method, s.coding, s.reqEnd = r.kind, r.method, r.coding, f.EndStream()
	stream, more, text := m.Stream, m.More, m.Text
	m.Set(&r.m)
	m.Stream, m.More, m.Text = stream, more, text
	m.Session = decimalText(m, f.Stream)
	p.ended(s, l7.Client, m)
}
