package mongodb

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

func (p *parser) response(h header, b []byte, m *l7.Message) (int, error) {
	m.Type, m.Stream = l7.TypeResponse, uint64(h.to)
	switch h.op {
	case opMsg:
		c := l7.NewCursor(b)
		flags := c.U32LE()
		if flags&0xffff&^flagsKnown != 0 {
			return 0, l7.ErrLost
		}
		var topology bool
		if kind := c.U8(); kind == 0 && !c.Short() {
			doc, _ := document(c.Rest())
			topology = p.answer(h, doc, m)
		}
		if p.chained && h.to == p.chain {
			m.Stream = p.first
			if p.quiet {
				p.chain = h.id
				p.chained = flags&flagMoreToCome != 0
				return h.n, l7.ErrSkip
			}
		}
		if p.chained = flags&flagMoreToCome != 0; p.chained {
			p.first, p.chain, p.quiet = m.Stream, h.id, topology
			// A client that watches the topology waits for years.
			m.More = !topology
		}
	case opReply:
		c := l7.NewCursor(b)
		flags := c.U32LE()
		c.Skip(16)
		if c.Short() {
			break
		}
		doc, _ := document(c.Rest())
		p.answer(h, doc, m)
		const cursorNotFound, queryFailure = 1, 2
		if flags&(cursorNotFound|queryFailure) != 0 && !m.Status.Failed() {
			m.Status = l7.StatusClientError
		} else if m.Status == l7.StatusUnset {
			m.Status = l7.StatusOK
		}
	case opCompressed:
	default:
		return 0, l7.ErrLost
	}
	return h.n, nil
}

// answer reads what became of a command. It reports whether the answer tells
// of the servers, as a client that watches them asks.
func (p *parser) answer(h header, doc elements, m *l7.Message) (topology bool) {
	var code int64
	var coded, ok, told bool
	var errmsg []byte
	var n int64
	counted := false
	for {
		x, more := doc.next()
		if !more {
			break
		}
		switch string(x.name) {
		case "ok":
			v, is := x.number()
			ok, told = v == 1, is
		case "cursor", "firstBatch":
			ok, told = true, true // errors have none
		case "errmsg", "$err", "err":
			if s := x.str(); s != nil {
				errmsg = s
			}
		case "code":
			code, coded = x.number()
		case "n":
			n, counted = x.number()
		case "topologyVersion":
			topology = true
		case "writeErrors", "writeConcernError":
			if x.typ == tDoc || x.typ == tArray {
				p.failure(x.elements(), &code, &coded, &errmsg)
			}
		}
	}
	if topology {
		// Failed commands may bring it too; news of servers have no error.
		topology = !coded && errmsg == nil
	}
	switch {
	case coded && code != 0 || errmsg != nil || told && !ok:
		m.Status = l7.StatusClientError
		if coded {
			m.Code = number(m.Text, uint64(code))
			if serverCode(code) {
				m.Status = l7.StatusServerError
			}
		}
		m.Error = p.message(errmsg, m)
	case told:
		m.Status = l7.StatusOK
	}
	if counted && p.writing && p.write == h.to {
		p.writing = false
		m.AddInt("hopscope.db.affected_rows", n)
	}
	return topology
}

// failure reads the first of writeErrors, or writeConcernError.
func (p *parser) failure(e elements, code *int64, coded *bool, errmsg *[]byte) {
	for {
		x, ok := e.next()
		if !ok {
			return
		}
		switch {
		case x.typ == tDoc && string(x.name) == "0":
			e = x.elements()
		case string(x.name) == "code":
			*code, *coded = x.number()
		case string(x.name) == "errmsg":
			*errmsg = x.str()
		}
	}
}

// message is errmsg, without the key that was there already.
func (p *parser) message(s []byte, m *l7.Message) string {
	if !p.opt.KeepLiterals {
		if i := bytes.IndexByte(s, '{'); i >= 0 {
			s = s[:i]
		}
	}
	if p.opt.MaxText > 0 && len(s) > p.opt.MaxText {
		s = s[:p.opt.MaxText]
	}
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return m.Text.Copy(s)
}

// number is n in decimal.
func number(t *l7.Text, n uint64) string {
	return t.Uint(n)
}
