package postgresql

import (
	"bytes"
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Codes in the place of a version, in the first message of a connection.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSSENC = 80877104
	major3     = 3 // upper half
)

// maxStartup is what the server takes of a startup message (MAX_STARTUP_PACKET_LENGTH).
const maxStartup = 10000

func (p *parser) client(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if b[0] == 0 {
		return p.startup(w, m)
	}
	if len(b) < tagged {
		return 0, l7.ErrMore
	}
	n, ok := length(b)
	if !ok || !frontend(b[0]) {
		return 0, l7.ErrLost
	}
	switch b[0] {
	case 'Q', 'F':
		return p.query(w, n, m)
	case 'P', 'B', 'E', 'D', 'C':
		if p.early {
			if b[0] == 'E' {
				p.early = false
			}
			return n, l7.ErrSkip
		}
		return p.extended(w, m)
	case 'S':
		p.early = false
		p.group++
	case 'H':
		p.early = false
	case 'X':
		if n != tagged {
			return 0, l7.ErrLost
		}
		m.Type, m.Op = l7.TypeOneWay, "TERMINATE"
		p.fill(m)
		return n, nil
	}
	// Passwords, and the data of COPY.
	return n, l7.ErrSkip
}

// length is that of the message at the front of b, with its tag.
func length(b []byte) (n int, ok bool) {
	v := binary.BigEndian.Uint32(b[1:])
	return int(v) + 1, v >= 4 && v < maxMessage
}

func frontend(tag byte) bool {
	switch tag {
	case 'Q', 'P', 'B', 'E', 'D', 'C', 'S', 'H', 'X', 'F', 'd', 'c', 'f', 'p':
		return true
	}
	return false
}

// fill adds what all messages of the connection have.
func (p *parser) fill(m *l7.Message) {
	m.Domain, m.Version = p.db, p.version
}

// startup reads the first message, which has no tag.
func (p *parser) startup(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < 8 {
		return 0, l7.ErrMore
	}
	n := int(binary.BigEndian.Uint32(b))
	code := binary.BigEndian.Uint32(b[4:])
	if n < 8 || n > maxStartup {
		return 0, l7.ErrLost
	}
	switch {
	case code == codeSSL && n == 8:
		m.Op, m.Note = "SSL_REQUEST", kindSSL
		return n, nil
	case code == codeGSSENC && n == 8:
		m.Op, m.Note = "GSSENC_REQUEST", kindSSL
		return n, nil
	case code == codeCancel && n <= 8+4+256:
		m.Type, m.Op = l7.TypeOneWay, "CANCEL"
		return n, nil
	case code>>16 != major3:
		return 0, l7.ErrLost
	}
	if len(b) < n && !w.End {
		return 0, l7.ErrMore
	}
	c := l7.NewCursor(b[8:min(n, len(b))])
	var user, db []byte
	for {
		k := c.Until(0)
		if c.Short() || len(k) == 0 {
			break
		}
		v := c.Until(0)
		switch string(k) {
		case "user":
			user = v
		case "database":
			db = v
		}
	}
	if len(db) == 0 && !c.Short() {
		db = user
	}
	p.db = string(db)
	p.version = "3.0"
	if code&0xffff == 2 {
		p.version = "3.2" // PostgreSQL 18
	}
	p.fill(m)
	m.Op, m.Note = "STARTUP", kindStartup
	return n, nil
}

// query reads a simple query, or the call of a function.
func (p *parser) query(w l7.Window, n int, m *l7.Message) (int, error) {
	if need := min(n, maxLook); len(w.B) < need && !w.End {
		return 0, l7.ErrMore
	}
	text := w.B[tagged:min(n, len(w.B), maxLook)]
	p.early = false
	m.Note, m.Batch = kindQuery, 0
	// It is its own Sync.
	p.group++
	if w.B[0] == 'F' {
		m.Op = "FUNCTION_CALL"
		p.fill(m)
		return n, nil
	}
	sqltext.ReadAs(sqltext.Standard, p.opt, words(text), m)
	p.fill(m)
	return n, nil
}

// words is the text at the front of b. If it is cut, so is its last word: half
// a table's name is that of another table.
func words(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return bytes.TrimRight(b[:max(bytes.LastIndexByte(b, ' '), 0)], " ,")
}

// extended reads all that is one request of the extended protocol: up to an
// Execute, a Flush, a Sync, or the first message that is too large to wait for
// what is behind it.
func (p *parser) extended(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	end, last := 0, byte(0)
	note := uint64(kindExecute)
	early, bound := false, false
walk:
	for {
		if len(b) < end+tagged {
			if !w.End || end == 0 {
				return 0, l7.ErrMore
			}
			early = true
			break
		}
		n, ok := length(b[end:])
		tag := b[end]
		if !ok {
			return 0, l7.ErrLost
		}
		switch tag {
		case 'P', 'B', 'D', 'C':
			bound = bound || tag == 'B'
			if big := end+n > maxLook; big || len(b) < end+n {
				if !w.End && len(b) < min(end+n, maxLook) {
					return 0, l7.ErrMore
				}
				if big || w.End {
					end += n
					early = true
					break walk
				}
			}
			last = tag
		case 'E':
			if n > 2*maxNameLen {
				return 0, l7.ErrLost
			}
			if len(b) < end+n && !w.End {
				return 0, l7.ErrMore
			}
			end += n
			break walk
		case 'S', 'H':
			if n != tagged {
				return 0, l7.ErrLost
			}
			end += n
			if tag == 'S' {
				note = kindSync
				break walk
			}
			note = flushNote(last, count(b[:end], last))
			break walk
		default:
			// Neither Execute nor Sync: what was there stands alone.
			if end == 0 {
				return 0, l7.ErrLost
			}
			early = true
			break walk
		}
		end += n
	}
	p.early = early
	st := p.follow(b[:min(end, len(b), maxLook)], m)
	m.Batch = p.group
	switch note & 0xff {
	case kindExecute:
		if st != nil {
			st.give(m)
		}
		if early && !bound {
			m.Op, m.Name = "", "" // perhaps it is only prepared here
		}
	default:
		if st != nil {
			st.give(m)
		}
		m.Op = word(last, b[0])
		m.Name = m.Op
	}
	if note == kindSync {
		p.group++
	}
	m.Note = note
	p.fill(m)
	return end, nil
}

// word names a request without an Execute, by its last and its first message.
func word(last, first byte) string {
	switch {
	case first == 'P':
		return "PREPARE"
	case last == 'C':
		return "CLOSE"
	case first == 'B':
		return "BIND"
	}
	return "DESCRIBE"
}

// count is how many messages of b have that tag.
func count(b []byte, tag byte) (k int) {
	for len(b) >= tagged {
		n, _ := length(b)
		if b[0] == tag {
			k++
		}
		if n > len(b) {
			break
		}
		b = b[n:]
	}
	return k
}

// follow does what the messages in b say to the statements and portals, and
// returns the statement that the last of them is about; nil if it was prepared
// unseen.
func (p *parser) follow(b []byte, m *l7.Message) (st *statement) {
	for len(b) >= tagged {
		n, _ := length(b)
		c := l7.NewCursor(b[tagged:min(n, len(b))])
		switch b[0] {
		case 'P':
			name := c.Until(0)
			if c.Short() {
				return nil
			}
			sqltext.ReadAs(sqltext.Standard, p.opt, words(c.Rest()), m)
			p.names.prepare(name, take(m))
			st = p.names.find(name)
		case 'B':
			to, name := c.Until(0), c.Until(0)
			if c.Short() {
				return nil
			}
			p.names.bind(to, name)
			st = p.names.find(name)
		case 'E':
			name := c.Until(0)
			if c.Short() {
				return nil
			}
			st = p.names.in(name)
		case 'D':
			if kind, name := c.U8(), c.Until(0); kind == 'S' && !c.Short() {
				st = p.names.find(name)
			} else if !c.Short() {
				st = p.names.in(name)
			}
		case 'C':
			if kind, name := c.U8(), c.Until(0); kind == 'S' && !c.Short() {
				if st = p.names.find(name); st != nil {
					copied := *st
					st = &copied
				}
				p.names.close(name)
			}
		}
		if n >= len(b) {
			break
		}
		b = b[n:]
	}
	return st
}
