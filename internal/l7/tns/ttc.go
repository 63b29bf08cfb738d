package tns

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Functions of the two-task protocol, the byte behind the data flags.
const (
	ttcProtocol  = 0x01
	ttcTypes     = 0x02
	ttcCall      = 0x03
	ttcError     = 0x04
	ttcRowHeader = 0x06
	ttcRow       = 0x07
	ttcReturn    = 0x08
	ttcDone      = 0x09
	ttcIOVector  = 0x0b
	ttcWarning   = 0x0f
	ttcDescribe  = 0x10
	ttcPiggyback = 0x11
	ttcLOB       = 0x0e
	ttcServer    = 0x17
	ttcToken     = 0x21
	ttcFast      = 0x22 // protocol, types and login in one
)

// calls by their numbers.
var calls = map[byte]string{0x02: "OPEN", 0x03: "QUERY", 0x04: "EXECUTE", 0x05: "FETCH", 0x08: "CLOSE", 0x09: "LOGOFF",
	0x0c: "AUTO COMMIT ON", 0x0d: "AUTO COMMIT OFF", 0x0e: "COMMIT", 0x0f: "ROLLBACK", 0x14: "CANCEL", 0x2b: "DESCRIBE",
	0x30: "STARTUP", 0x31: "SHUTDOWN", 0x3b: "VERSION", 0x43: "TRANSACTION", 0x47: "ALL7", 0x4a: "VERSION", 0x4e: "EXECUTE",
	0x51: "LOGON", 0x52: "LOGON", 0x5e: "EXECUTE", 0x60: "LOB", 0x62: "DESCRIBE", 0x67: "TRANSACTION", 0x68: "TRANSACTION",
	0x69: "CLOSE CURSORS", 0x6b: "SESSION", 0x73: "AUTHENTICATE", 0x76: "AUTHENTICATE", 0x77: "DESCRIBE", 0x79: "ENQUEUE",
	0x7a: "DEQUEUE", 0x91: "ARRAY QUEUE", 0x93: "PING", 0x9d: "END TO END", 0xa2: "RESET SESSION", 0xc7: "PIPELINE"}

// negotiation begins the packet in which encryption is agreed on.
var negotiation = []byte{0xde, 0xad, 0xbe, 0xef}

// Flags of data packets, of the second and of the first byte.
const (
	flagEOF        = 0x40
	flagCompressed = 0x04
)

// data reads a packet of the two-task protocol. Its messages have no length:
// one goes on where a packet is full, and each side has its turn.
func (p *parser) data(side l7.Side, n int, b []byte, m *l7.Message) error {
	cut := len(b) < n-headLen
	if cut && len(b) < 6 {
		return l7.ErrLost // by the capture: what it is is not known
	}
	if len(b) < 2 {
		return l7.ErrSkip
	}
	if b[0]&flagCompressed != 0 {
		return l7.ErrSkip
	}
	eof := b[1]&flagEOF != 0
	goesOn := p.more[side]
	p.more[side] = n >= max(p.sdu, defaultSDU)
	turn := p.said && p.last != side
	p.last, p.said = side, true
	if goesOn {
		if p.more[side] {
			return l7.ErrSkip
		}
		if side == l7.Server {
			p.failed(b[2:], m)
		}
		return l7.ErrEnd
	}
	body := b[2:]
	if len(body) == 0 {
		if eof && side == l7.Client {
			m.Type, m.Op = l7.TypeOneWay, "DISCONNECT"
			return nil
		}
		return l7.ErrSkip
	}
	m.More = p.more[side]
	if side == l7.Client {
		if !p.request(body, cut, m) {
			m.More, p.more[side] = false, false
			return l7.ErrSkip
		}
		m.Domain = p.service
		return nil
	}
	if !turn || !answers(body) {
		p.more[side] = false
		return l7.ErrSkip
	}
	m.Type, m.Status = l7.TypeResponse, l7.StatusOK
	if !m.More {
		p.failed(body, m)
	}
	return nil
}

// request reads what the client calls.
func (p *parser) request(b []byte, cut bool, m *l7.Message) bool {
	switch b[0] {
	case ttcProtocol:
		m.Op = "PROTOCOL"
	case ttcTypes:
		m.Op = "DATA TYPES"
	case ttcFast:
		m.Op = "AUTHENTICATE"
	case ttcCall, ttcPiggyback:
		if len(b) < 2 {
			return false
		}
		if b[0] == ttcCall {
			if m.Op = calls[b[1]]; m.Op == "" {
				m.Op = "CALL"
			}
		} else if calls[b[1]] == "" {
			return false
		} else if i := bytes.Index(b[2:], []byte{ttcCall, 0x5e}); i < 0 && cut {
			m.Name = "CALL"
		} else if i < 0 {
			m.Op = "CALL" // what hangs on it is not found
		} else {
			m.Op = "EXECUTE"
		}
		if m.Op == "EXECUTE" {
			if s := statement(b); s != nil {
				m.Op = ""
				sqltext.ReadAs(sqltext.Standard, p.opts, s, m)
			} else if m.Name = m.Op; cut {
				m.Op = ""
			}
		}
	case '(':
		p.describe(b, m) // the descriptor that had no room in the connect
		return false
	default:
		m.Op = "NEGOTIATE"
		return bytes.HasPrefix(b, negotiation)
	}
	return true
}

// answers reports whether b begins as what a server sends.
func answers(b []byte) bool {
	switch b[0] {
	case ttcProtocol, ttcTypes, ttcError, ttcRowHeader, ttcRow, ttcReturn, ttcDone, ttcIOVector, ttcWarning, ttcDescribe,
		ttcServer, ttcLOB, ttcToken, ttcFast:
		return true
	}
	return bytes.HasPrefix(b, negotiation)
}

// verbs that a statement begins with.
var verbs = [...]string{"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "BEGIN", "DECLARE", "CALL", "WITH", "CREATE", "ALTER",
	"DROP", "TRUNCATE", "COMMIT", "ROLLBACK", "SET", "LOCK", "GRANT", "EXPLAIN"}

// statement is the text of the statement in a call: text with its length before
// it, in one byte, or, behind 0xfe, in that of its first part. nil: there is
// none that is sure.
func statement(b []byte) []byte {
	for i := 3; i+4 < len(b); i++ {
		if c := b[i] | 0x20; c < 'a' && c != '/' || c > 'z' || b[i-1] < 4 && b[i-2] < 1 {
			continue
		}
		if !verb(b[i:]) && !comment(b[i:]) {
			continue
		}
		n := int(b[i-1])
		if i > 4 && b[i-4] == long && b[i-3] == 2 {
			n += int(b[i-2]) << 8
		}
		if n < 4 || n > len(b)-i && len(b) < look-headLen-2 {
			continue
		}
		s := b[i:min(len(b), i+n)]
		if text(s) {
			return s
		}
	}
	return nil
}

// long stands for a length that has no room in one byte: parts follow, each
// behind its length, and that behind the number of its bytes.
const long = 0xfe

func comment(b []byte) bool { return b[0] == '/' && b[1] == '*' }

// beginnings has the bits of the letters that verbs begin with.
var beginnings = func() (bits uint32) {
	for _, v := range verbs {
		bits |= 1 << (v[0] & 31)
	}
	return bits
}()

func verb(b []byte) bool {
	if b[0]|0x20 < 'a' || beginnings>>(b[0]&31)&1 == 0 {
		return false
	}
	for _, v := range &verbs {
		if len(b) > len(v) && b[0]|0x20 == v[0]|0x20 && bytes.EqualFold(b[:len(v)], []byte(v)) {
			c := b[len(v)]
			return c == ' ' || c == '\n' || c == '\r' || c == '\t'
		}
	}
	return false
}

func text(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return true
}

// noData is the code that ends a result: no error.
const noData = "ORA-01403"

// failed looks for the error that ends an answer: its text, with its length
// before it.
func (p *parser) failed(b []byte, m *l7.Message) {
	const width = len(noData)
	from := max(0, len(b)-512)
	i := bytes.LastIndex(b[from:], []byte("ORA-"))
	if i < 1 {
		return
	}
	i += from
	if i+width > len(b) || !digits(b[i+4:i+width]) {
		return
	}
	if n := int(b[i-1]); i+n > len(b) || len(b)-i-n > 16 || n < width {
		return // text of a row
	}
	code := m.Text.Copy(b[i : i+width])
	if code == noData {
		return
	}
	m.Code, m.Status = code, l7.StatusClientError
	switch {
	case code <= "ORA-00899" && code != "ORA-00001", code >= "ORA-01000" && code <= "ORA-01099", code >= "ORA-01500" && code <= "ORA-01699",
		code >= "ORA-12150" && code <= "ORA-12699":
		m.Status = l7.StatusServerError
	}
	s := bytes.TrimSpace(b[i:min(len(b), i+int(b[i-1]))])
	if _, after, ok := bytes.Cut(s, []byte(": ")); ok && p.opts.KeepLiterals {
		m.Error = m.Text.Copy(after)
	}
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
