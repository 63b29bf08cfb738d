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
	return r != nil && int(r.n) == len(block) && r.state == now && bytes.Equal(block, r.block[:r.n])
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

// answer is the last headers, or trailers, of an answer to a call that said nothing
// but its status, if that, out of the table.
type answer struct {
	state  h2.State
	n      uint8
	block  [maxAnswer]byte
	status int8 // -1: none
}

// maxAnswer bounds such a block: the status of HTTP, a type, the status of the call.
const maxAnswer = 8

func place(end bool) int {
	if end {
		return 1
	}
	return 0
}

func (a *answer) is(block []byte, now h2.State) bool {
	return a.n > 0 && int(a.n) == len(block) && a.state == now && string(block) == string(a.block[:a.n])
}

func (a *answer) learn(block []byte, now h2.State, status int) {
	if len(block) <= maxAnswer {
		a.state, a.n, a.status = now, uint8(copy(a.block[:], block)), int8(status)
	}
}
