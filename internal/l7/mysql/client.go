package mysql

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// client reads one packet of n bytes that the client sent.
func (p *parser) client(w l7.Window, n int, m *l7.Message) (int, error) {
	b := w.B
	p.cont[l7.Client] = n == fullPacket
	if seq := b[3]; seq != 0 {
		if p.infile {
			p.infile = n > 0
			return headerLen + n, l7.ErrSkip
		}
		if p.auth && !login(b) {
			return headerLen + n, l7.ErrSkip // more of the proof of who it is
		}
		return p.login(w, n, m)
	}
	if want := headerLen + min(n, maxStatement); len(b) < want && !w.End {
		return 0, l7.ErrMore
	}
	if n == 0 {
		return 0, l7.ErrLost
	}
	body := b[headerLen:min(len(b), headerLen+min(n, maxStatement))]
	com := body[0]
	m.Note, m.Fresh, m.Domain = uint64(com), true, p.db
	if n == fullPacket {
		m.Note |= noteLong
	}
	if len(body) < min(n, maxStatement) {
		m.Note |= noteCut
	}
	arg := body[1:]
	switch com {
	case comQuery:
		text := statement(arg)
		if len(text) == 0 && !w.End || len(text) > 0 && !printable(text[:min(len(text), 16)]) {
			return 0, l7.ErrLost
		}
		sqltext.ReadAs(sqltext.MySQL, p.opt, text, m)
		if m.Op == "USE" && len(m.Target) > 4 {
			p.db = m.Target[4:]
		}
	case comPrepare:
		sqltext.ReadAs(sqltext.MySQL, p.opt, arg, m)
		m.Op, m.Name = "PREPARE", "PREPARE"
	case comExecute, comBulkExecute, comFetch, comReset, comLongData, comClose:
		if len(arg) < 4 {
			return 0, l7.ErrLost
		}
		p.prepared(com, binary.LittleEndian.Uint32(arg), m)
	case comInitDB:
		p.db = m.Text.Copy(arg[:min(len(arg), maxName)])
		m.Op, m.Target, m.Domain = "USE", p.db, p.db
	case comFieldList:
		table, _, _ := bytes.Cut(arg, []byte{0})
		m.Op, m.Route = "FIELD LIST", m.Text.Copy(table[:min(len(table), maxName)])
	case comChangeUser:
		m.Op, p.auth = "CHANGE USER", true
	default:
		if int(com) >= len(names) || names[com] == "" {
			return 0, l7.ErrLost
		}
		m.Op = names[com]
	}
	if com == comQuit || com == comClose || com == comLongData {
		m.Type = l7.TypeOneWay
	}
	return headerLen + n, nil
}

// noteLong marks, in Message.Note beside the command, a request of several
// packets, and one that is not there whole.
const (
	noteLong = 1 << 16
	noteCut  = 1 << 17
)

// maxName bounds names of databases and tables: MySQL's have 64 characters.
const maxName = 256

// names of commands that are no statements.
var names = [0x20]string{
	comQuit: "QUIT", 0x05: "CREATE DB", 0x06: "DROP DB", 0x07: "REFRESH", 0x08: "SHUTDOWN", comStatistics: "STATISTICS",
	0x0a: "PROCESS INFO", 0x0c: "PROCESS KILL", 0x0d: "DEBUG", comPing: "PING", comBinlogDump: "BINLOG DUMP",
	0x15: "REGISTER REPLICA", 0x1b: "SET OPTION", comBinlogGTID: "BINLOG DUMP", 0x1f: "RESET CONNECTION",
	comInitDB: "USE", comQuery: "QUERY", comFieldList: "FIELD LIST", comChangeUser: "CHANGE USER", comPrepare: "PREPARE",
	comExecute: "EXECUTE", comLongData: "LONG DATA", comClose: "CLOSE", comReset: "RESET", comFetch: "FETCH",
}

// prepared reads a command about the prepared statement id.
func (p *parser) prepared(com byte, id uint32, m *l7.Message) {
	m.Session = m.Text.Build(10, func(dst []byte) int { return len(strconv.AppendUint(dst[:0], uint64(id), 10)) })
	s, known := p.statements[id]
	switch com {
	case comExecute, comBulkExecute:
		if m.Name = "EXECUTE"; known {
			m.Op, m.Target, m.Route, m.Name = s.op, s.target, s.route, ""
		}
		return
	case comClose:
		delete(p.statements, id)
	}
	m.Op = names[com]
	m.Name = m.Op
	m.Target, m.Route = s.target, s.route
}

// statement is the text of COM_QUERY, behind the query attributes that new
// clients put before it. No text starts with the bytes that these do.
func statement(arg []byte) []byte {
	if len(arg) < 2 || arg[1] != 1 || arg[0] > 0xfa {
		return arg
	}
	count := int(arg[0])
	c := l7.NewCursor(arg[2:])
	if count == 0 {
		return c.Rest()
	}
	nulls := c.Take((count + 7) / 8)
	if c.U8() != 1 {
		return nil // no types: these came with an earlier query
	}
	var kinds [256]byte
	for i := range count {
		kinds[i] = c.U8()
		c.U8()
		c.Take(lenenc(&c))
	}
	for i := range count {
		if c.Short() || nulls[i/8]>>(i%8)&1 != 0 {
			continue
		}
		switch kinds[i] {
		case 0x01:
			c.Skip(1)
		case 0x02, 0x0d:
			c.Skip(2)
		case 0x03, 0x04, 0x09:
			c.Skip(4)
		case 0x05, 0x08:
			c.Skip(8)
		case 0x06:
		case 0x07, 0x0a, 0x0b, 0x0c:
			c.Skip(int(c.U8()))
		default:
			c.Take(lenenc(&c))
		}
	}
	if c.Short() {
		return nil
	}
	return c.Rest()
}

// lenenc is a length-encoded number; what is too large to be true is beyond any
// cursor.
func lenenc(c *l7.Cursor) int {
	switch v := c.U8(); v {
	case 0xfc:
		return int(c.U16LE())
	case 0xfd:
		return int(c.U24LE())
	case 0xfe:
		return int(min(c.U64LE(), 1<<40))
	default:
		return int(v)
	}
}

// login: b is the client's half of the handshake.
func login(b []byte) bool {
	if len(b) < headerLen+32 || packetLen(b) < 32 {
		return false
	}
	caps := binary.LittleEndian.Uint32(b[headerLen:])
	if caps&cap41 == 0 {
		return false
	}
	for _, c := range b[headerLen+9 : headerLen+28] { // 4 of the 23 are MariaDB's
		if c != 0 {
			return false
		}
	}
	return true
}

// login reads the client's half of the handshake.
func (p *parser) login(w l7.Window, n int, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < headerLen+min(n, 512) && !w.End {
		return 0, l7.ErrMore
	}
	if !login(b) {
		return 0, l7.ErrLost
	}
	caps := binary.LittleEndian.Uint32(b[headerLen:])
	if caps&capSSL != 0 && n == 32 {
		m.Switch = true // TLS follows
		return headerLen + n, l7.ErrSkip
	}
	if !p.sane {
		p.caps = caps
	} else {
		p.caps &= caps
	}
	p.sane, p.auth = true, true
	c := l7.NewCursor(b[headerLen+32 : min(len(b), headerLen+n)])
	c.Until(0) // the user
	switch {
	case caps&capLenencAuth != 0:
		c.Take(lenenc(&c))
	case caps&capSecureAuth != 0:
		c.Take(int(c.U8()))
	default:
		c.Until(0)
	}
	if caps&capConnectDB != 0 {
		if db := c.Until(0); !c.Short() && len(db) <= maxName {
			p.db = m.Text.Copy(db)
		}
	}
	m.Op, m.Domain, m.Note, m.Fresh = "LOGIN", p.db, comLogin, true
	return headerLen + n, nil
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return true
}
