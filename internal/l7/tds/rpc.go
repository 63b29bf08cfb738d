package tds

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// procedures by the numbers that clients call them by.
var procedures = [...]string{1: "sp_cursor", 2: "sp_cursoropen", 3: "sp_cursorprepare", 4: "sp_cursorexecute",
	5: "sp_cursorprepexec", 6: "sp_cursorunprepare", 7: "sp_cursorfetch", 8: "sp_cursoroption", 9: "sp_cursorclose",
	10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 14: "sp_prepexecrpc", 15: "sp_unprepare"}

// rpc reads the call of a procedure: its name, and, of those that take one, the
// statement.
func (p *parser) rpc(b []byte, whole bool, m *l7.Message) {
	c := l7.NewCursor(b)
	name := ""
	if n := c.U16LE(); n == 0xffff {
		if id := c.U16LE(); int(id) < len(procedures) {
			name = procedures[id]
		}
	} else if n > 0 && n <= maxName/2 {
		name = narrow(m.Text, c.Take(2*int(n)))
	}
	c.U16LE() // options
	if m.Name = "EXECUTE"; name == "" {
		return
	}
	m.Op, m.Route = "EXECUTE", name
	m.Name = m.Text.Join("EXECUTE ", name)
	m.Add("db.stored_procedure.name", name)
	skip := -1
	switch name {
	case "sp_executesql":
		skip = 0
	case "sp_prepexec", "sp_prepare", "sp_cursorprepare":
		skip = 2
	case "sp_cursoropen":
		skip = 1
	case "sp_cursorprepexec":
		skip = 3
	}
	if skip < 0 {
		return
	}
	m.Op = "" // that of the statement
	for ; skip > 0; skip-- {
		if !param(&c, nil) {
			return
		}
	}
	var stmt []byte
	if param(&c, &stmt) && len(stmt) > 1 && text16(stmt) {
		p.sql(stmt, whole, m)
	}
}

// Types of parameters.
const (
	typeIntN     = 0x26
	typeBitN     = 0x68
	typeNVarChar = 0xe7
	typeNText    = 0x63
	typeInt4     = 0x38
)

// param passes over a parameter, or takes its text.
func param(c *l7.Cursor, text *[]byte) bool {
	c.Take(2 * int(c.U8()))
	c.U8() // flags
	switch c.U8() {
	case typeIntN, typeBitN:
		c.U8()
		c.Take(int(c.U8()))
	case typeInt4:
		c.U32LE()
	case typeNText:
		c.U32LE()
		c.Take(5)
		n := c.U32LE()
		v := c.Rest()[:min(c.Len(), int(n))]
		c.Take(int(n))
		if text != nil && n != 0xffffffff {
			*text = v
			return true
		}
	case typeNVarChar:
		size := c.U16LE()
		c.Take(5) // the collation
		n := int(c.U16LE())
		if size == 0xffff { // in chunks, of which the first is looked at
			c.Take(6)
			n = int(c.U32LE())
			v := c.Rest()[:min(c.Len(), n)]
			c.Take(n)
			for !c.Short() {
				if n := c.U32LE(); n == 0 {
					break
				} else {
					c.Take(int(n))
				}
			}
			if text != nil {
				*text = v
				return len(v) > 0
			}
			break
		}
		if n == 0xffff {
			return true // NULL
		}
		v := c.Rest()[:min(c.Len(), n)]
		c.Take(n)
		if text != nil {
			*text = v
			return true // perhaps cut
		}
	default:
		return false
	}
	return !c.Short()
}

// sql reads a statement, or the part of it that is there.
func (p *parser) sql(b []byte, whole bool, m *l7.Message) {
	if need := min(3*len(b)/2+utf8.UTFMax, look); len(p.text) < need {
		p.text = make([]byte, need)
	}
	n := utf8Of(p.text, b)
	name, op := m.Name, m.Op
	m.Name = ""
	sqltext.ReadAs(sqltext.Standard, p.opts, p.text[:n], m)
	if m.Op == "" {
		m.Op, m.Name = op, name
	}
	if !whole && bytes.IndexByte(p.text[:n], ' ') < 0 {
		m.Op = "" // a part of a word
	}
	if m.Op == "USE" && len(m.Target) > 4 {
		p.db = m.Target[4:]
	}
}

// text16 reports whether b begins as text in UTF-16 does.
func text16(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	for i := 0; i+1 < min(len(b), 16); i += 2 {
		if v := binary.LittleEndian.Uint16(b[i:]); v < ' ' && v != '\t' && v != '\n' && v != '\r' || v >= 0xd800 && v < 0xe000 {
			return false
		}
	}
	return true
}

// utf8Of writes text in UTF-16 as UTF-8, as much of it as there is room for.
func utf8Of(dst, b []byte) int {
	n, i := 0, 0
	for ; i+8 <= len(b) && n+4 <= len(dst); i, n = i+8, n+4 {
		v := binary.LittleEndian.Uint64(b[i:])
		if v&0xff80ff80ff80ff80 != 0 {
			break
		}
		dst[n], dst[n+1], dst[n+2], dst[n+3] = byte(v), byte(v>>16), byte(v>>32), byte(v>>48)
	}
	for ; i+1 < len(b) && n+utf8.UTFMax <= len(dst); i += 2 {
		v := rune(binary.LittleEndian.Uint16(b[i:]))
		if v < utf8.RuneSelf {
			dst[n] = byte(v)
			n++
			continue
		}
		if utf16.IsSurrogate(v) && i+3 < len(b) {
			v = utf16.DecodeRune(v, rune(binary.LittleEndian.Uint16(b[i+2:])))
			i += 2
		}
		n += utf8.EncodeRune(dst[n:], v)
	}
	return n
}

// narrow is text in UTF-16 as a string.
func narrow(t *l7.Text, b []byte) string {
	return t.Build(len(b)*2, func(dst []byte) int { return utf8Of(dst, b) })
}
