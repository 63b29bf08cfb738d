// Package tds reads the Tabular Data Stream of Microsoft SQL Server, Azure SQL
// and Sybase ASE ([MS-TDS],
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds).
package tds

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Protocol is TDS.
var Protocol = &l7.Protocol{
	Name:      "tds",
	Transport: l7.TCP,
	Ports:     []uint16{1433},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{
		Op:     sqltext.KeyOp,
		Target: sqltext.KeyText,
		Route:  sqltext.KeyTable,
		Code:   "db.response.status_code",
		Domain: "db.namespace",
	},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "microsoft.sql_server"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const keyAffected = "hopscope.db.affected_rows"

// Types of packets.
const (
	typeBatch     = 0x01
	typeLogin     = 0x02 // Sybase, and SQL Server 6.5
	typeRPC       = 0x03
	typeAnswer    = 0x04
	typeAttention = 0x06
	typeBulk      = 0x07
	typeFedAuth   = 0x08
	typeTran      = 0x0e
	typeLogin7    = 0x10
	typeSSPI      = 0x11
	typePrelogin  = 0x12
)

const (
	headLen  = 8
	statusEM = 0x01 // the packet is the last of its message
	// maxPacket is the largest size of packets that can be agreed on.
	maxPacket = 32767
	// look is how much of a message's first packet is looked at: servers and
	// clients make them of 4096 bytes.
	look = 4 << 10
	// doneLen is the token that ends an answer, since TDS 7.2; before it was 9.
	doneLen    = 13
	doneLenOld = 9
)

type parser struct {
	opts *l7.Options
	db   string
	// inside tells that the message of a side goes on in its next packet.
	inside [2]bool
	// encrypt is what the client and the server said of encryption.
	asked, encrypted byte
	old              bool   // the done token is short
	text             []byte // a statement as UTF-8, for one call
}

// head is a packet's header.
type head struct {
	kind, status byte
	n            int // with the header
}

func readHead(b []byte) (h head, ok bool) {
	h = head{b[0], b[1], int(binary.BigEndian.Uint16(b[2:]))}
	switch h.kind {
	case typeBatch, typeLogin, typeRPC, typeAnswer, typeAttention, typeBulk, typeFedAuth, typeTran, typeLogin7,
		typeSSPI, typePrelogin:
	default:
		return h, false
	}
	return h, h.n >= headLen && h.n <= maxPacket && h.status&0xe0 == 0 && b[7] == 0
}

func detect(b []byte) l7.Verdict {
	if len(b) < headLen {
		if len(b) > 0 && (b[0] > typePrelogin || b[0] == 0) {
			return l7.No
		}
		return l7.More
	}
	h, ok := readHead(b)
	if !ok || b[6] > 1 {
		return l7.No // a message's first packet has number 1; old ones count none
	}
	body := b[headLen:]
	if len(body) < min(h.n-headLen, 26) {
		return l7.More
	}
	body = body[:min(len(body), h.n-headLen)]
	switch h.kind {
	case typePrelogin:
		if _, ok := prelogin(body); ok && h.status&statusEM != 0 {
			return l7.Request
		}
	case typeLogin7:
		if isLogin(body) {
			return l7.Request
		}
	case typeBatch, typeRPC, typeTran:
		if headers(body) == 22 {
			return l7.Request
		}
	case typeAnswer:
		if _, ok := prelogin(body); ok || answers(body) {
			return l7.Response
		}
	}
	return l7.No
}

// isLogin reports whether a body begins as a LOGIN7 record does: its length, and
// the version.
func isLogin(b []byte) bool {
	if len(b) < 12 {
		return false
	}
	n, v, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	return n >= 86 && n < 1<<17 && (v>>24 >= 0x70 && v>>24 <= 0x74 || v <= 8 && v > 0) && (size <= 1<<16)
}

// prelogin is the encryption that a list of options asks for.
func prelogin(b []byte) (encryption byte, ok bool) {
	encryption = encryptNot
	for i := 0; ; i += 5 {
		if i < len(b) && b[i] == 0xff {
			return encryption, i > 0
		}
		if i+5 > len(b) || b[i] > 8 || i == 0 && (b[0] != 0 || binary.BigEndian.Uint16(b[3:]) != 6) || i > 50 {
			return 0, false
		}
		at, n := int(binary.BigEndian.Uint16(b[i+1:])), int(binary.BigEndian.Uint16(b[i+3:]))
		if i == 0 && (at < 6 || at > 64) {
			return 0, false
		}
		if b[i] == 1 && n == 1 && at < len(b) {
			encryption = b[at]
		}
	}
}

// What the prelogin says of encryption.
const (
	encryptOff = 0 // of the login only
	encryptNot = 2
)

// headers is the length of the headers of all requests since TDS 7.2: 22, the
// transaction, and perhaps more of them. 0: none.
func headers(b []byte) int {
	if len(b) < 22 {
		return 0
	}
	total, first, kind := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint16(b[8:])
	if total < 22 || total > 512 || kind < 1 || kind > 3 || first < 6 || first > total-4 {
		return 0
	}
	if total == 22 && (first != 18 || kind != 2) {
		return 0
	}
	return min(int(total), len(b)) // the rest may be cut
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) < headLen {
		return 0, l7.ErrMore
	}
	if w.B[0] >= 0x14 && w.B[0] <= 0x17 && w.B[1] == 3 {
		return p.record(side, w.B, m)
	}
	h, ok := readHead(w.B)
	if !ok || (h.kind == typeAnswer) != (side == l7.Server) && h.kind != typePrelogin {
		return 0, l7.ErrLost
	}
	last := h.status&statusEM != 0
	need := min(h.n, headLen+look)
	if p.inside[side] {
		if need = headLen; side == l7.Server && last {
			need = h.n
		}
	} else if side == l7.Server && last {
		need = h.n // how it went is at its end
	}
	if len(w.B) < need && !w.End {
		return 0, l7.ErrMore
	}
	body := w.B[headLen:min(len(w.B), h.n)]
	whole := len(w.B) >= h.n
	inside := p.inside[side]
	p.inside[side] = !last
	switch {
	case inside && !last:
		return h.n, l7.ErrSkip
	case inside && side == l7.Client:
		return h.n, l7.ErrEnd
	case inside:
		m.Type = l7.TypeResponse
		if whole {
			p.end(body, m)
		}
		return h.n, l7.ErrEnd
	case side == l7.Client:
		return h.n, p.request(h, body, m, last)
	}
	return h.n, p.answer(h, body, w.Req, m, last, whole)
}

// record passes over what TLS hides: the login, of which nothing but that it is
// one can be said.
func (p *parser) record(side l7.Side, b []byte, m *l7.Message) (int, error) {
	n := 5 + int(binary.BigEndian.Uint16(b[3:]))
	if p.encrypted != encryptOff || p.asked == encryptNot {
		return 0, l7.ErrLost
	}
	if side == l7.Client && b[0] == 0x17 {
		m.Op, m.Name = "LOGIN7", "LOGIN7"
		return n, nil
	}
	return n, l7.ErrSkip
}

func (p *parser) request(h head, b []byte, m *l7.Message, last bool) error {
	m.Domain = p.db
	m.More = !last
	m.Fresh = true
	whole := h.n-headLen == len(b)
	switch h.kind {
	case typeBatch:
		n := headers(b)
		if len(b) < 22 && !whole {
			return nil // cut by the capture
		}
		if !text16(b[n:]) {
			return l7.ErrLost
		}
		if p.sql(b[n:], whole, m); m.Op == "" && whole {
			m.Op = "EXECUTE" // a batch may begin with a procedure's name
		}
	case typeRPC:
		p.rpc(b[headers(b):], whole, m)
	case typeTran:
		c := l7.NewCursor(b)
		if len(b) >= 22 {
			c.Take(headers(b))
		} else {
			c.Take(22)
		}
		if kind := c.U16LE(); !c.Short() {
			if m.Op = transactions[kind]; m.Op == "" {
				m.Op = "TRANSACTION"
			}
		}
	case typeLogin7:
		if !isLogin(b) {
			return l7.ErrLost
		}
		m.Op = "LOGIN7"
		p.login(b, m)
	case typeLogin:
		m.Op = "LOGIN"
	case typeSSPI:
		m.Op = "SSPI"
	case typeFedAuth:
		m.Op = "FEDAUTH"
	case typeBulk:
		m.Op = "BULK LOAD"
	case typePrelogin:
		if len(b) > 0 && b[0] == 0x16 {
			return l7.ErrSkip // TLS in packets
		}
		e, ok := prelogin(b)
		if !ok {
			return l7.ErrLost
		}
		p.asked, m.Op = e, "PRELOGIN"
	case typeAttention:
		return l7.ErrSkip // what it stops is answered
	}
	return nil
}

var transactions = map[uint16]string{0: "GET DTC ADDRESS", 1: "PROPAGATE", 5: "BEGIN TRANSACTION", 6: "PROMOTE",
	7: "COMMIT TRANSACTION", 8: "ROLLBACK TRANSACTION", 9: "SAVE TRANSACTION"}

// login reads the name of the database, and the client's program.
func (p *parser) login(b []byte, m *l7.Message) {
	field := func(at int) []byte {
		if at+4 > len(b) {
			return nil
		}
		off, n := int(binary.LittleEndian.Uint16(b[at:])), 2*int(binary.LittleEndian.Uint16(b[at+2:]))
		if off+n > len(b) || n > maxName {
			return nil
		}
		return b[off : off+n]
	}
	if db := field(68); len(db) > 0 {
		p.db = narrow(m.Text, db)
		m.Domain = p.db
	}
	if app := field(48); len(app) > 0 {
		m.Add("user_agent.original", narrow(m.Text, app))
	}
}

// maxName bounds names, in bytes of UTF-16: they have 128 characters.
const maxName = 256

// Resync: what was open is not any more; a new message is looked for.
func (p *parser) Resync(side l7.Side) { p.inside[side] = false }
