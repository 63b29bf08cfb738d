// Package tns reads Oracle's Transparent Network Substrate, and of the two-task
// protocol in it what can be told without its types. There is no published
// specification: the layout of packets is that which the dissectors of
// Wireshark and the thin drivers of Oracle (python-oracledb, open source) show.
package tns

import (
	"bytes"
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Protocol is TNS.
var Protocol = &l7.Protocol{
	Name:      "tns",
	Transport: l7.TCP,
	Ports:     []uint16{1521, 1522, 2483},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{
		Op:     sqltext.KeyOp,
		Target: sqltext.KeyText,
		Route:  sqltext.KeyTable,
		Code:   "db.response.status_code",
		Domain: "db.namespace",
	},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "oracle.db"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

// Types of packets.
const (
	typeConnect  = 1
	typeAccept   = 2
	typeAck      = 3
	typeRefuse   = 4
	typeRedirect = 5
	typeData     = 6
	typeNull     = 7
	typeAbort    = 9
	typeResend   = 11
	typeMarker   = 12
	typeControl  = 14
	typeDescr    = 15
)

const (
	headLen = 8
	// look is how much of a packet is looked at.
	look = 4 << 10
	// defaultSDU is the size of packets where none was agreed on.
	defaultSDU = 8 << 10
	// maxPacket bounds what is believed of a length: the largest unit is 2 MiB.
	maxPacket = 2 << 20
	// large is the version from which lengths take four bytes, once accepted.
	large = 315
)

type parser struct {
	opts    *l7.Options
	service string
	large   bool // lengths take four bytes
	sdu     int
	// more tells that the message of a side goes on: it has filled its packet,
	// or its other half comes in another packet.
	more [2]bool
	last l7.Side // who sent the last data
	said bool
}

// head reads the header of the packet at the front of b.
func head(b []byte, large bool) (kind byte, n int, ok bool) {
	n = int(binary.BigEndian.Uint16(b))
	if large {
		n = int(binary.BigEndian.Uint32(b))
	} else if b[2] != 0 || b[3] != 0 {
		return 0, 0, false
	}
	kind = b[4]
	return kind, n, n >= headLen && n <= maxPacket && kind >= typeConnect && kind <= typeDescr && b[6] == 0 && b[7] == 0
}

func detect(b []byte) l7.Verdict {
	if len(b) < headLen {
		if len(b) > 4 && (b[4] == 0 || b[4] > typeDescr) {
			return l7.No
		}
		return l7.More
	}
	kind, n, ok := head(b, false)
	if !ok {
		return l7.No
	}
	c := l7.NewCursor(b[headLen:])
	switch kind {
	case typeConnect:
		if n < 34 {
			return l7.No
		}
		if len(b) < 34 {
			return l7.More
		}
		version, compatible := c.U16(), c.U16()
		size, at := int(binary.BigEndian.Uint16(b[24:])), int(binary.BigEndian.Uint16(b[26:]))
		if version >= 300 && version < 400 && compatible >= 200 && compatible <= version && at >= 34 && at <= n && (at+size == n || at == n || at+size > n && size > 0) {
			return l7.Request
		}
	case typeAccept:
		if len(b) < 24 {
			return l7.More
		}
		if version := c.U16(); n >= 24 && version >= 300 && version < 400 {
			return l7.Response
		}
	case typeRefuse:
		if len(b) < headLen+5 {
			return l7.More
		}
		c.U16()
		if size := int(c.U16()); headLen+4+size == n && c.U8() == '(' {
			return l7.Response
		}
	case typeRedirect:
		if len(b) < headLen+3 {
			return l7.More
		}
		if size := int(c.U16()); headLen+2+size == n && c.U8() == '(' {
			return l7.Response
		}
	}
	return l7.No
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) < headLen {
		return 0, l7.ErrMore
	}
	kind, n, ok := head(w.B, p.large)
	if !ok {
		return 0, l7.ErrLost
	}
	if len(w.B) < min(n, look) && !w.End {
		return 0, l7.ErrMore
	}
	b := w.B[headLen:min(len(w.B), n)]
	var err error
	if kind == typeData {
		if err = p.data(side, n, b, m); err == l7.ErrLost {
			return 0, err
		}
		return n, err
	}
	switch {
	case kind == typeConnect && side == l7.Client:
		err = p.connect(b, m)
	case kind == typeAccept && side == l7.Server:
		err = p.accept(b, m)
	case kind == typeRefuse && side == l7.Server:
		m.Type, m.Status = l7.TypeResponse, l7.StatusClientError
		if v := field(b, "ERR="); v != nil {
			m.Code = m.Text.Join("ORA-", l7.View(v))
		}
	case kind == typeRedirect && side == l7.Server:
		m.Type, m.Status, m.Code = l7.TypeResponse, l7.StatusOK, "REDIRECT"
	case kind == typeResend && side == l7.Server:
		// A response, so that the connect that comes again is another exchange.
		m.Type, m.Status, m.Code = l7.TypeResponse, l7.StatusOK, "RESEND"
	case kind == typeMarker || kind == typeControl || kind == typeNull || kind == typeAck || kind == typeAbort:
		err = l7.ErrSkip
	default:
		return 0, l7.ErrLost
	}
	return n, err
}

// connect reads whom a client wants: the service, and who it is.
func (p *parser) connect(b []byte, m *l7.Message) error {
	m.Op, m.Fresh = "CONNECT", true
	p.large, p.sdu = false, defaultSDU
	if len(b) < 20 {
		return nil
	}
	at := int(binary.BigEndian.Uint16(b[18:])) - headLen
	if at < 0 || at > len(b) {
		return nil
	}
	p.describe(b[at:], m)
	return nil
}

// describe reads a connect descriptor, which may come in a packet of its own.
func (p *parser) describe(d []byte, m *l7.Message) {
	name := field(d, "SERVICE_NAME=")
	if name == nil {
		name = field(d, "SID=")
	}
	if name != nil {
		p.service = m.Text.Copy(name)
		m.Domain = p.service
	}
	if v := field(d, "PROGRAM="); v != nil {
		m.Add("user_agent.original", m.Text.Copy(v))
	}
}

// field is the value of a field of a descriptor, if it is there whole.
func field(d []byte, key string) []byte {
	for i := 0; i+len(key) < len(d); i++ {
		if d[i] != '(' || !bytes.EqualFold(d[i+1:min(len(d), i+1+len(key))], []byte(key)) {
			continue
		}
		v := d[i+1+len(key):]
		if end := bytes.IndexAny(v, "()"); end > 0 && end <= maxName && v[end] == ')' {
			return v[:end]
		}
		return nil
	}
	return nil
}

// maxName bounds what is kept of a descriptor's values.
const maxName = 128

func (p *parser) accept(b []byte, m *l7.Message) error {
	m.Type, m.Status = l7.TypeResponse, l7.StatusOK
	c := l7.NewCursor(b)
	version := c.U16()
	c.U16()
	sdu := int(c.U16())
	if version >= large {
		if p.large = true; len(b) >= 28 {
			sdu = int(binary.BigEndian.Uint32(b[24:]))
		}
	}
	if sdu >= 512 {
		p.sdu = sdu
	}
	return nil
}

// Resync: whatever was half there is not continued.
func (p *parser) Resync(side l7.Side) { p.more[side] = false }

// Find is the first packet in b: data that begins as a call or its answer does,
// and is followed by another packet, or by nothing.
func (p *parser) Find(side l7.Side, b []byte) int {
	if len(b) >= headLen {
		if kind, n, ok := head(b, p.large); ok && kind == typeData && n <= p.sdu && (n >= len(b) || follows(b[n:], p.large)) {
			return 0
		}
		if v := detect(b); v == l7.Request && side == l7.Client || v == l7.Response && side == l7.Server {
			return 0
		}
	}
	return -1
}

func follows(b []byte, large bool) bool {
	if len(b) < headLen {
		return true
	}
	_, _, ok := head(b, large)
	return ok
}
