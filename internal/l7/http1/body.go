package http1

import "github.com/hopscope/hopscope/internal/l7"

// Bodies are looked at only where a rule of the configuration asks for it.

// showBody shows the body of length bytes that starts at n in w. It reports false
// if more of it has to come first.
func (p *parser) showBody(side l7.Side, w l7.Window, n int, length uint64, m *l7.Message) bool {
	x := p.opt.Extract
	if !x.WantsBody(side) {
		return true
	}
	b := w.B[n:]
	if want := min(length, l7.MaxBody); uint64(len(b)) < want {
		if !w.End {
			return false
		}
	} else {
		b = b[:want]
	}
	x.Body(m, b, uint64(len(b)) == length)
	return true
}

// keepChunk keeps the chunk of size bytes that starts at n in w. It reports false
// if more of it has to come first.
func (p *parser) keepChunk(side l7.Side, w l7.Window, n int, size uint64) bool {
	h := &p.half[side]
	b, want := w.B[n:], min(size, uint64(l7.MaxBody-len(h.body)))
	if uint64(len(b)) < want {
		if !w.End {
			return false
		}
		h.body, h.collect = nil, false // a part is missing: what follows it is something else
		return true
	}
	h.body = append(h.body, b[:want]...)
	return true
}

// bodyEnds shows a chunked body.
func (p *parser) bodyEnds(side l7.Side, m *l7.Message) {
	h := &p.half[side]
	if !h.collect {
		return
	}
	if side == l7.Server {
		m.Type = l7.TypeResponse
	}
	p.opt.Extract.Body(m, h.body, len(h.body) < l7.MaxBody)
	h.body, h.collect = nil, false
}
