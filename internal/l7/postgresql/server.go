package postgresql

import (
	"bytes"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

func backend(tag byte) bool {
	switch tag {
	case 'R', 'S', 'K', 'Z', 'T', 'D', 'C', 'E', 'N', 'A', 'I', 's', 'n', 't', '1', '2', '3', 'G', 'H', 'W', 'd', 'c', 'V', 'v':
		return true
	}
	return false
}

// done: the answer is over.
func (p *parser) done() {
	p.open, p.count = false, 0
	p.rows, p.affected = counter{}, counter{}
}

// part makes m a part of the answer, the first if none was before.
func (p *parser) part(m *l7.Message, more bool) {
	m.Type, m.Fresh, m.More = l7.TypeResponse, !p.open, more
	p.open = true
	if !more {
		p.done()
	}
}

// answered: the answer to req is over, or would be if it were known.
func (p *parser) answered(req *l7.Message) {
	p.last, p.blind = 0, req == nil
	if req != nil {
		p.last = req.Batch
	}
}

func (p *parser) server(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	kind := uint64(kindNone)
	if w.Req != nil {
		kind = w.Req.Note & 0xff
	}
	if kind == kindSSL && !p.open && (b[0] == 'S' || b[0] == 'G' || b[0] == 'N') {
		// One byte, and what comes behind it is another protocol or the answer to
		// another message.
		m.Type, m.Status = l7.TypeResponse, l7.StatusOK
		m.Switch, m.Seals = b[0] != 'N', b[0] == 'S'
		return 1, nil
	}
	if len(b) < tagged {
		return 0, l7.ErrMore
	}
	n, ok := length(b)
	if !ok || !backend(b[0]) {
		return 0, l7.ErrLost
	}
	switch b[0] {
	case 'D', 'd':
		if p.open {
			return p.data(b, n), l7.ErrSkip
		}
	case 'N', 'A', 'S':
		// Notices, notifications and settings come at any time.
		if kind != kindStartup {
			return n, l7.ErrSkip
		}
	case 'E':
		return p.failure(w, n, kind, m)
	case 'C':
		if n > maxTag {
			return 0, l7.ErrLost
		}
		if len(b) < n && !w.End {
			return 0, l7.ErrMore
		}
		p.complete(b[tagged:min(n, len(b))])
		m.Status = l7.StatusOK
		if w.Req != nil && w.Req.Op == "" {
			m.Op = verb(b[tagged:min(n, len(b))])
		}
		if kind == kindExecute || kind == kindNone {
			p.answered(w.Req)
			p.tell(m)
			p.part(m, false)
			return n, nil
		}
		p.part(m, true)
		return n, nil
	case 'I', 's':
		m.Status = l7.StatusOK
		if kind == kindExecute || kind == kindNone {
			p.answered(w.Req)
			p.part(m, false)
			return n, nil
		}
		p.part(m, true)
		return n, nil
	case 'Z':
		if n != 6 {
			return 0, l7.ErrLost
		}
		if !p.open {
			return p.synced(w.Req, n, m)
		}
		p.last, p.blind = 0, false
		if kind == kindStartup || kind == kindSync {
			m.Status = l7.StatusOK
		}
		p.tell(m)
		p.part(m, false)
		return n, nil
	case 'W':
		// Replication: from here on both sides send what they like.
		m.Status = l7.StatusOK
		p.part(m, false)
		return n, nil
	}
	if kind == kindNone {
		return n, l7.ErrSkip
	}
	if kind == kindFlush && flushed(b[0]) == byte(w.Req.Note>>8) {
		if p.count++; p.count >= int(w.Req.Note>>16&0xffff) {
			m.Status = l7.StatusOK
			p.part(m, false)
			return n, nil
		}
	}
	if p.open {
		return n, l7.ErrSkip
	}
	p.part(m, true)
	return n, nil
}

// synced reads the ReadyForQuery of a Sync: what of its group has no answer will
// have none.
func (p *parser) synced(req *l7.Message, n int, m *l7.Message) (int, error) {
	if p.blind && req != nil {
		// It may be req's group that ends here, or the one before.
		p.blind = false
		return 0, l7.ErrLost
	}
	m.Over, m.Batch = p.last != 0, p.last
	p.last, p.blind = 0, false
	return n, l7.ErrSkip
}

// flushed is the tag of the message that b answers.
func flushed(tag byte) byte {
	switch tag {
	case '1':
		return 'P'
	case '2':
		return 'B'
	case '3':
		return 'C'
	case 'T', 'n':
		return 'D'
	}
	return 0
}

// data is how many bytes at the front of b are rows, whole ones behind the
// first.
func (p *parser) data(b []byte, n int) int {
	for n+tagged <= len(b) && b[n] == b[0] {
		k, ok := length(b[n:])
		if !ok || n+k > len(b) {
			break
		}
		n += k
	}
	return n
}

// maxTag bounds a CommandComplete: the longest tags are words and two numbers.
const maxTag = 96

// complete counts the rows of a command: its tag ends with their number.
func (p *parser) complete(b []byte) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return
	}
	b = b[:i]
	k := bytes.LastIndexByte(b, ' ')
	if k < 0 {
		return
	}
	n, err := strconv.ParseInt(l7.View(b[k+1:]), 10, 64)
	if err != nil || n < 0 {
		return
	}
	to := &p.affected
	if string(b[:k]) == "SELECT" || string(b[:k]) == "FETCH" {
		to = &p.rows
	}
	to.n += n
	to.seen = true
}

// verb is what a CommandComplete says was done, for statements that were
// prepared before anybody looked.
func verb(b []byte) string {
	i := bytes.IndexAny(b, " \x00")
	if i < 0 {
		return ""
	}
	switch string(b[:i]) {
	case "SELECT":
		return "SELECT"
	case "INSERT":
		return "INSERT"
	case "UPDATE":
		return "UPDATE"
	case "DELETE":
		return "DELETE"
	case "BEGIN":
		return "BEGIN"
	case "COMMIT":
		return "COMMIT"
	case "ROLLBACK":
		return "ROLLBACK"
	case "MERGE":
		return "MERGE"
	case "FETCH":
		return "FETCH"
	case "COPY":
		return "COPY"
	case "CALL":
		return "CALL"
	}
	return ""
}

// tell writes the rows counted.
func (p *parser) tell(m *l7.Message) {
	if p.rows.seen {
		m.AddInt(keyRows, p.rows.n)
	}
	if p.affected.seen {
		m.AddInt(keyAffected, p.affected.n)
	}
}

// failure reads an ErrorResponse: fields of a letter and text.
func (p *parser) failure(w l7.Window, n int, kind uint64, m *l7.Message) (int, error) {
	b := w.B
	if need := min(n, maxLook); len(b) < need && !w.End {
		return 0, l7.ErrMore
	}
	c := l7.NewCursor(b[tagged:min(n, len(b), maxLook)])
	m.Status = l7.StatusServerError
	for {
		f := c.U8()
		if f == 0 {
			break
		}
		v := c.Until(0)
		if c.Short() {
			break
		}
		switch f {
		case 'C':
			m.Code = m.Text.Copy(v[:min(len(v), 5)])
			m.Status = status(v)
		case 'M':
			m.Error = p.message(v, m)
		}
	}
	if kind == kindQuery {
		p.part(m, true)
		return n, nil
	}
	p.answered(w.Req)
	p.part(m, false)
	return n, nil
}

// message is the text of an error. Errors about values quote them.
func (p *parser) message(v []byte, m *l7.Message) string {
	if p.opt.MaxText > 0 && len(v) > p.opt.MaxText {
		v = v[:p.opt.MaxText]
	}
	if p.opt.KeepLiterals || len(m.Code) < 2 || m.Code[:2] != "22" {
		return m.Text.Copy(v)
	}
	return m.Text.Build(len(v), func(d []byte) int {
		k, in := 0, false
		for _, c := range v {
			switch {
			case c == '"':
				in = !in
				if in {
					k += copy(d[k:], `"?`)
					continue
				}
			case in:
				continue
			}
			if k < len(d) {
				d[k] = c
				k++
			}
		}
		return k
	})
}

// status tells whose fault an SQLSTATE is, by its class
// (https://www.postgresql.org/docs/current/errcodes-appendix.html): what the
// statement, its values, or the state of the client's session brought about is
// the client's.
func status(code []byte) l7.Status {
	if len(code) < 2 {
		return l7.StatusServerError
	}
	switch string(code[:2]) {
	case "03", "0A", "0B", "0F", "0L", "0P", "20", "21", "22", "23", "25", "26", "28", "2F", "34", "3D", "3F", "42", "44":
		return l7.StatusClientError
	}
	return l7.StatusServerError
}
