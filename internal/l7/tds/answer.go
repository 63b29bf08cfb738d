package tds

import (
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Tokens of an answer.
const (
	tokenReturnStatus = 0x79
	tokenColumns      = 0x81
	tokenError        = 0xaa
	tokenInfo         = 0xab
	tokenReturnValue  = 0xac
	tokenLoginAck     = 0xad
	tokenEnv          = 0xe3
	tokenSSPI         = 0xed
	tokenFedAuth      = 0xee
	tokenDone         = 0xfd
	tokenDoneProc     = 0xfe
	tokenDoneInProc   = 0xff
)

const (
	doneError     = 0x02
	doneCount     = 0x10
	doneAttention = 0x20
)

// answers reports whether b begins as an answer: a token, and what fits to it.
func answers(b []byte) bool {
	if len(b) < 9 {
		return false
	}
	switch b[0] {
	case tokenError, tokenInfo, tokenEnv, tokenLoginAck:
		n := int(binary.LittleEndian.Uint16(b[1:]))
		return n >= 2 && n < maxPacket && (b[0] != tokenEnv || b[3] >= 1 && b[3] <= 20)
	case tokenColumns:
		n := int(binary.LittleEndian.Uint16(b[1:]))
		return n == 0xffff || n > 0 && n <= 4096
	case tokenDone, tokenDoneInProc, tokenDoneProc:
		return len(b) == doneLen || len(b) == doneLenOld || len(b) > doneLen && b[1]&1 != 0
	}
	return false
}

func (p *parser) answer(h head, b []byte, req, m *l7.Message, last, whole bool) error {
	m.Type = l7.TypeResponse
	m.More = !last
	if h.kind == typePrelogin || len(b) > 0 && b[0] == 0 {
		if len(b) > 0 && b[0] == 0x16 {
			return l7.ErrSkip // TLS in packets
		}
		e, ok := prelogin(b)
		if !ok {
			return l7.ErrLost
		}
		p.encrypted = e
		m.Status = l7.StatusOK
		// With more than the login hidden, there is nothing left to read.
		m.Opaque = e != encryptNot && e != encryptOff
		return nil
	}
	if req == nil && len(b) == doneLen && b[0] == tokenDone && b[1]&doneAttention != 0 {
		return l7.ErrSkip // what was to be stopped had been answered
	}
	m.Status = l7.StatusOK
	p.tokens(b, m)
	if last && whole {
		p.end(b, m)
	}
	return nil
}

// tokens walks what comes before the first row.
func (p *parser) tokens(b []byte, m *l7.Message) {
	for len(b) >= 3 {
		n := 3 + int(binary.LittleEndian.Uint16(b[1:]))
		if n > len(b) {
			return
		}
		v := b[3:n]
		switch b[0] {
		case tokenError:
			p.failed(v, m)
		case tokenLoginAck:
			if len(v) >= 5 && binary.BigEndian.Uint32(v[1:]) < 0x72000000 {
				p.old = true
			}
		case tokenEnv:
			if len(v) >= 2 && v[0] == 1 && 2+2*int(v[1]) <= len(v) {
				p.db = narrow(m.Text, v[2:2+2*int(v[1])])
				m.Domain = p.db
			}
		case tokenInfo, tokenSSPI, 0xa9:
		case tokenReturnStatus:
			n = 5
		case tokenDone, tokenDoneProc, tokenDoneInProc:
			if n = doneLen; p.old {
				n = doneLenOld
			}
		default:
			return
		}
		b = b[min(n, len(b)):]
	}
}

// failed reads an error: number, state, class, text.
func (p *parser) failed(v []byte, m *l7.Message) {
	c := l7.NewCursor(v)
	number := c.U32LE()
	c.U8()
	class := c.U8()
	text := c.Take(2 * int(c.U16LE()))
	if c.Short() || m.Code != "" {
		return // the first of several says what is wrong
	}
	m.Code = m.Text.Build(10, func(dst []byte) int { return len(strconv.AppendUint(dst[:0], uint64(number), 10)) })
	m.Error = narrow(m.Text, text[:min(len(text), p.opts.MaxText)&^1])
	// Classes up to 16 are what the user can put right.
	if m.Status = l7.StatusClientError; class > 16 {
		m.Status = l7.StatusServerError
	}
}

// end reads the token that ends an answer, in b its last packet.
func (p *parser) end(b []byte, m *l7.Message) {
	size := doneLen
	if p.old {
		size = doneLenOld
	}
	at := len(b) - size
	if at < 0 || b[at] != tokenDone && b[at] != tokenDoneProc {
		return
	}
	status := binary.LittleEndian.Uint16(b[at+1:])
	if status&doneCount != 0 {
		n := uint64(binary.LittleEndian.Uint32(b[at+5:]))
		if !p.old {
			n = binary.LittleEndian.Uint64(b[at+5:])
		}
		m.AddInt(keyAffected, int64(n))
	}
	switch {
	case status&doneAttention != 0:
		m.Status, m.Error = l7.StatusClientError, "cancelled by the client"
	case status&doneError != 0 && m.Code == "":
		if m.Status = l7.StatusServerError; at > 0 {
			p.behind(b[:at], m)
		}
	}
}

// behind looks for the error that stands right before the end, behind rows that
// are not read.
func (p *parser) behind(b []byte, m *l7.Message) {
	for i := len(b) - 12; i >= max(0, len(b)-2*look); i-- {
		if b[i] == tokenError && i+3+int(binary.LittleEndian.Uint16(b[i+1:])) == len(b) {
			p.failed(b[i+3:], m)
			return
		}
	}
}
