// Package ldap reads LDAP version 3 (RFC 4511), and version 2 as far as it is
// the same.
package ldap

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is LDAP.
var Protocol = &l7.Protocol{
	Name:      "ldap",
	Transport: l7.TCP | l7.UDP,
	Ports:     []uint16{389, 3268},
	Pairing:   l7.ByStream,
	Keys:      l7.Keys{Op: "hopscope.session.operation", Target: "hopscope.session.target", Code: "hopscope.response.code"},
	Detect:    detect,
	New:       func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

// Operations: the numbers of their APPLICATION tags.
const (
	opBind         = 0
	opUnbind       = 2
	opSearch       = 3
	opEntry        = 4
	opDone         = 5
	opAbandon      = 16
	opReference    = 19
	opExtended     = 23
	opExtendedDone = 24
	opIntermediate = 25
)

const (
	// maxMessage is beyond what servers send: OpenLDAP takes 16 MiB.
	maxMessage = 64 << 20
	// maxLook is how much of a message is looked at: its name is in front.
	maxLook = 4 << 10
	// maxDN bounds what is told of a name.
	maxDN = 512
	// oidStartTLS is RFC 4511, 4.14.1.
	oidStartTLS = "1.3.6.1.4.1.1466.20037"
)

// operation is the name of a request; "" for numbers that are none.
func operation(op byte) string {
	switch op {
	case opBind:
		return "bind"
	case opUnbind:
		return "unbind"
	case opSearch:
		return "search"
	case 6:
		return "modify"
	case 8:
		return "add"
	case 10:
		return "delete"
	case 12:
		return "modify_dn"
	case 14:
		return "compare"
	case opAbandon:
		return "abandon"
	case opExtended:
		return "extended"
	}
	return ""
}

func isAnswer(op byte) bool {
	switch op {
	case 1, opEntry, opDone, 7, 9, 11, 13, 15, opReference, opExtendedDone, opIntermediate:
		return true
	}
	return false
}

// element is the head of the BER element at the front of b: its tag, where its
// content starts, how long that is. at is 0 if it is none, or goes on.
func element(b []byte) (tag byte, at, n int, more bool) {
	if len(b) < 2 {
		return 0, 0, 0, true
	}
	n, at = int(b[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 4 {
			return 0, 0, 0, false
		}
		if len(b) < 2+k {
			return 0, 0, 0, true
		}
		n = 0
		for _, c := range b[2 : 2+k] {
			n = n<<8 | int(c)
		}
		at += k
	}
	if n > maxMessage {
		return 0, 0, 0, false
	}
	return b[0], at, n, false
}

// envelope is the head of a message.
type envelope struct {
	n    int // of all of it
	id   uint64
	op   byte
	body []byte // of the operation, as far as it is there
	cut  bool   // body is not all of it
}

// open reads the head of the message at the front of b.
func open(b []byte) (e envelope, ok, more bool) {
	tag, at, n, more := element(b)
	if at == 0 || tag != 0x30 || n < 5 {
		return e, false, more && (len(b) == 0 || b[0] == 0x30)
	}
	e.n = at + n
	room := n
	b = b[at:min(e.n, len(b))]
	tag, at, n, more = element(b)
	if at == 0 || tag != 0x02 || n < 1 || n > 4 {
		return e, false, more && (len(b) == 0 || b[0] == 0x02)
	}
	if len(b) < at+n {
		return e, false, true
	}
	for _, c := range b[at : at+n] {
		e.id = e.id<<8 | uint64(c)
	}
	if e.id>>31 != 0 {
		return e, false, false
	}
	b, room = b[at+n:], room-at-n
	tag, at, n, more = element(b)
	if at == 0 {
		return e, false, more && (len(b) == 0 || b[0]&0xc0 == 0x40)
	}
	// Behind the operation there are controls, or nothing.
	if tag&0xc0 != 0x40 || at+n > room {
		return e, false, false
	}
	e.op = tag & 0x1f
	if operation(e.op) == "" && !isAnswer(e.op) {
		return e, false, false
	}
	e.body = b[at:min(at+n, len(b))]
	e.cut = len(e.body) < n
	if rest := room - at - n; rest > 0 && len(b) > at+n && b[at+n] != 0xa0 {
		return e, false, false
	}
	return e, true, false
}

// take is the next element of *b, if it has that tag and is whole.
func take(b *[]byte, want byte) []byte {
	tag, at, n, _ := element(*b)
	if at == 0 || tag != want || at+n > len(*b) {
		return nil
	}
	v := (*b)[at : at+n : at+n]
	*b = (*b)[at+n:]
	return v
}

func detect(b []byte) l7.Verdict {
	if len(b) > 0 && b[0] != 0x30 {
		return l7.No
	}
	e, ok, more := open(b)
	switch {
	case more:
		return l7.More
	case !ok:
		return l7.No
	}
	body := e.body
	yes := l7.Response
	if !isAnswer(e.op) {
		yes = l7.Request
	}
	// What the operation starts with.
	first := byte(0x04) // a name
	switch e.op {
	case opBind:
		first = 0x02 // version
	case opUnbind, opAbandon, 10, opReference, opIntermediate:
		return l7.No // they say too little
	case opExtended:
		first = 0x80
	case 1, opDone, 7, 9, 11, 13, 15, opExtendedDone:
		first = 0x0a // result code
	}
	tag, at, n, more := element(body)
	switch {
	case more:
		return l7.More
	case at == 0 || tag != first || tag == 0x0a && n != 1 || tag == 0x02 && n != 1 || n > e.n:
		return l7.No
	case len(body) < at+n:
		return l7.More
	case tag == 0x02 && (body[at] < 2 || body[at] > 3):
		return l7.No
	case tag == 0x80 && !bytes.HasPrefix(body[at:], []byte("1.")) && !bytes.HasPrefix(body[at:], []byte("2.")):
		return l7.No
	}
	return yes
}

// parser is one connection.
type parser struct {
	opt *l7.Options
	// tls is the StartTLS that is under way: its id, 0 for none.
	tls uint64
	// bound: a bind was seen, so SASL may protect what follows. wrapped is what
	// is left, of each side, of a protected buffer that can be read.
	bound   bool
	wrapped [2]int
}

// Resync: what was lost may have been StartTLS, but then nothing is found.
func (p *parser) Resync(side l7.Side) { p.tls, p.wrapped[side] = 0, 0 }

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	left := p.wrapped[side]
	if left == 0 && w.B[0] == 0 && p.bound {
		return p.sasl(side, w)
	}
	if left > 0 && len(w.B) >= left {
		w.B, w.End = w.B[:left], true
	}
	e, ok, more := open(w.B)
	if left > 0 {
		if more && !w.End {
			return 0, l7.ErrMore
		}
		if !ok || e.n > left {
			p.wrapped[side] = 0
			return left, l7.ErrSkip // a checksum behind the last message
		}
		if len(w.B) >= min(e.n, maxLook) || w.End {
			p.wrapped[side] -= e.n
		}
	}
	switch {
	case more:
		return 0, l7.ErrMore
	case !ok || isAnswer(e.op) != (side == l7.Server):
		return 0, l7.ErrLost
	}
	if len(w.B) < min(e.n, maxLook) && !w.End {
		return 0, l7.ErrMore
	}
	body := e.body[:min(len(e.body), maxLook)]
	m.Stream = e.id
	if side == l7.Server {
		return e.n, p.answer(e, body, m)
	}
	m.Type, m.Op = l7.TypeRequest, operation(e.op)
	m.Session = strconv.FormatUint(e.id, 10)
	switch e.op {
	case opUnbind, opAbandon:
		m.Type = l7.TypeOneWay
	case opBind:
		p.bound = true
		take(&body, 0x02)
		m.Target = p.name(take(&body, 0x04), m)
	case 10:
		if !e.cut {
			m.Target = p.name(body, m)
		}
	case opExtended:
		oid := take(&body, 0x80)
		m.Target = m.Text.Copy(oid[:min(len(oid), 64)])
		if string(oid) == oidStartTLS {
			p.tls = e.id
		}
	default:
		m.Target = p.name(take(&body, 0x04), m)
	}
	return e.n, nil
}

func (p *parser) answer(e envelope, body []byte, m *l7.Message) error {
	m.Type = l7.TypeResponse
	switch e.op {
	case opEntry, opReference, opIntermediate:
		m.More = true
		return nil
	}
	if e.id == 0 {
		return l7.ErrSkip // a notice of disconnection
	}
	code := take(&body, 0x0a)
	if len(code) != 1 {
		return nil
	}
	take(&body, 0x04)
	text := take(&body, 0x04)
	m.Code = strconv.Itoa(int(code[0]))
	m.Status = status(code[0])
	if m.Status.Failed() {
		m.Error = result(code[0])
		if len(text) > 0 && p.opt.KeepLiterals { // it may quote names
			m.Error = m.Text.Copy(text[:min(len(text), 256)])
		}
	}
	if p.tls != 0 && p.tls == e.id {
		p.tls = 0
		m.Switch = code[0] == 0
		m.Seals = m.Switch
	}
	return nil
}

// sasl reads the head of a buffer that SASL protects (RFC 4422, 3.7): its
// length, then a token of Kerberos (RFC 4121, 4.2.6.2) or NTLM. If that only
// signs, the messages are behind it.
func (p *parser) sasl(side l7.Side, w l7.Window) (int, error) {
	b := w.B
	if len(b) < 4+17 {
		return 0, l7.ErrMore
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < 16+5 || n > maxMessage {
		return 0, l7.ErrLost
	}
	t := b[4:]
	head := 16
	switch {
	case t[0] == 5 && t[1] == 4 && t[3] == 0xff:
		if t[2]&2 != 0 {
			return 4 + n, l7.ErrSkip // encrypted
		}
		head += int(binary.BigEndian.Uint16(t[6:])) // the checksum was moved here
	case t[0] != 1 || t[1] != 0 || t[2] != 0 || t[3] != 0:
		return 4 + n, l7.ErrSkip
	}
	if head > n-5 {
		return 0, l7.ErrLost
	}
	if len(t) <= head && !w.End {
		return 0, l7.ErrMore
	}
	if len(t) <= head || t[head] != 0x30 {
		return 4 + n, l7.ErrSkip
	}
	p.wrapped[side] = n - head
	return 4 + head, l7.ErrSkip
}

// name is a distinguished name as it may be shown: who it is about is left out,
// where that is in the tree is not.
func (p *parser) name(b []byte, m *l7.Message) string {
	if b = b[:min(len(b), maxDN)]; p.opt.KeepLiterals {
		return m.Text.Copy(b)
	}
	var out [maxDN]byte
	n := 0
	for len(b) > 0 {
		part := b
		for i := 0; ; i++ {
			if i == len(b) {
				b = nil
				break
			}
			if b[i] == ',' && (i == 0 || b[i-1] != '\\') {
				part, b = b[:i], b[i+1:]
				break
			}
		}
		k := bytes.IndexByte(part, '=')
		if n > 0 && n < len(out) {
			out[n] = ','
			n++
		}
		if k >= 0 && !place(bytes.TrimSpace(part[:k])) {
			n += copy(out[n:], part[:k+1])
			part, k = []byte{'?'}, 0
		}
		if k >= 0 {
			n += copy(out[n:], part)
		} else {
			n += copy(out[n:], "?") // no name at all
		}
	}
	return m.Text.Copy(out[:n])
}

// place: parts of a name of this type tell where, not who.
func place(typ []byte) bool {
	for _, t := range [...]string{"dc", "ou", "o", "c", "l", "st"} {
		if bytes.EqualFold(typ, []byte(t)) {
			return true
		}
	}
	return false
}

// status tells whose fault a result is (RFC 4511, appendix A).
func status(code byte) l7.Status {
	switch code {
	case 0, 5, 6, 10, 14: // success, the two answers of compare, referral, SASL goes on
		return l7.StatusOK
	case 1, 3, 11, 51, 52, 54, 80:
		return l7.StatusServerError
	}
	return l7.StatusClientError
}

// result is the name of a result code.
func result(code byte) string {
	switch code {
	case 1:
		return "operationsError"
	case 2:
		return "protocolError"
	case 3:
		return "timeLimitExceeded"
	case 4:
		return "sizeLimitExceeded"
	case 7:
		return "authMethodNotSupported"
	case 8:
		return "strongerAuthRequired"
	case 11:
		return "adminLimitExceeded"
	case 16:
		return "noSuchAttribute"
	case 17:
		return "undefinedAttributeType"
	case 19:
		return "constraintViolation"
	case 20:
		return "attributeOrValueExists"
	case 32:
		return "noSuchObject"
	case 34:
		return "invalidDNSyntax"
	case 48:
		return "inappropriateAuthentication"
	case 49:
		return "invalidCredentials"
	case 50:
		return "insufficientAccessRights"
	case 51:
		return "busy"
	case 52:
		return "unavailable"
	case 53:
		return "unwillingToPerform"
	case 65:
		return "objectClassViolation"
	case 68:
		return "entryAlreadyExists"
	case 80:
		return "other"
	}
	return ""
}
