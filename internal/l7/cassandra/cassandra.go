// Package cassandra reads CQL's native protocol, versions 3 to 5
// (https://github.com/apache/cassandra/tree/trunk/doc, native_protocol_v*.spec).
package cassandra

import (
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Protocol is CQL.
var Protocol = &l7.Protocol{
	Name:      "cassandra",
	Transport: l7.TCP,
	Ports:     []uint16{9042, 9142},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{Op: sqltext.KeyOp, Target: sqltext.KeyText, Route: sqltext.KeyTable,
		Code: "db.response.status_code", Domain: "db.namespace"},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "cassandra"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

const (
	headLen = 9
	// maxFrame is the specification's limit.
	maxFrame = 256 << 20
	// maxLook is how much of a frame is looked at: a statement in front of its
	// values.
	maxLook    = 16 << 10
	keySummary = "db.query.summary"
)

// Operations.
const (
	opError     = 0x00
	opStartup   = 0x01
	opReady     = 0x02
	opAuth      = 0x03
	opOptions   = 0x05
	opSupported = 0x06
	opQuery     = 0x07
	opResult    = 0x08
	opPrepare   = 0x09
	opExecute   = 0x0a
	opRegister  = 0x0b
	opEvent     = 0x0c
	opBatch     = 0x0d
	opChallenge = 0x0e
	opResponse  = 0x0f
	opSuccess   = 0x10
)

// Flags.
const (
	flagCompressed = 1 << 0
	flagTracing    = 1 << 1
	flagPayload    = 1 << 2
	flagWarning    = 1 << 3
	flagsKnown     = 1<<5 - 1
)

type header struct {
	version  byte
	response bool
	flags    byte
	stream   uint16
	op       byte
	n        int // of the frame, with its header
}

func readHeader(b []byte) (h header) {
	h.version, h.response = b[0]&0x7f, b[0]&0x80 != 0
	h.flags, h.op = b[1], b[4]
	h.stream = binary.BigEndian.Uint16(b[2:])
	h.n = headLen + int(binary.BigEndian.Uint32(b[5:]))
	return h
}

func (h *header) valid() bool {
	if h.version < 3 || h.version > 5 || h.flags&^flagsKnown != 0 || h.n > headLen+maxFrame {
		return false
	}
	switch h.op {
	case opStartup, opOptions, opQuery, opPrepare, opExecute, opRegister, opBatch, opResponse:
		return !h.response
	case opError, opReady, opAuth, opSupported, opResult, opEvent, opChallenge, opSuccess:
		return h.response
	}
	return false
}

func detect(b []byte) l7.Verdict {
	if len(b) == 0 {
		return l7.More
	}
	if v := b[0] & 0x7f; v < 3 || v > 5 || len(b) > 1 && b[1]&^flagsKnown != 0 {
		return l7.No
	}
	if len(b) < headLen {
		return l7.More
	}
	h := readHeader(b)
	if !h.valid() {
		return l7.No
	}
	yes := l7.Request
	if h.response {
		yes = l7.Response
	}
	if h.op == opOptions || h.op == opReady {
		if h.n != headLen || h.flags&flagCompressed != 0 {
			return l7.No
		}
		return yes
	}
	c := l7.NewCursor(b[headLen:min(h.n, len(b))])
	room := h.n - headLen
	if h.flags&flagCompressed != 0 {
		// Nothing to hold against the header: somebody else's bytes would do too.
		return l7.No
	}
	switch h.op {
	case opStartup:
		c.Skip(2)
		if k := int(c.U16()); !c.Short() && k > 64 {
			return l7.No
		}
		if c.Len() < 11 {
			return l7.More
		}
		for _, k := range [...]string{"CQL_VERSION", "COMPRESSION", "DRIVER_NAME", "DRIVER_VERS", "THROW_ON_OV", "NO_COMPACT", "APPLICATION", "CLIENT_ID"} {
			if string(c.Rest()[:len(k)]) == k {
				return yes
			}
		}
		return l7.No
	case opQuery, opPrepare:
		n := int(int32(c.U32()))
		if c.Short() {
			return l7.More
		}
		if n < 3 || n > room-4 {
			return l7.No
		}
		for i, x := range c.Rest() {
			if i >= n {
				return yes
			}
			if x < ' ' && x != '\n' && x != '\r' && x != '\t' {
				return l7.No
			}
		}
		if c.Len() < min(n, 64) {
			return l7.More
		}
		return yes
	case opExecute:
		n := c.U16()
		if c.Short() {
			return l7.More
		}
		if n == 16 && room > 18 { // an MD5
			return yes
		}
		return l7.No
	case opBatch:
		kind, n, first := c.U8(), c.U16(), c.U8()
		if c.Short() {
			return l7.More
		}
		if kind <= 2 && n > 0 && first <= 1 && room > int(n)*3 {
			return yes
		}
		return l7.No
	case opResult:
		if h.flags != 0 {
			return l7.No
		}
		k := c.U32()
		if c.Short() {
			return l7.More
		}
		if k == 1 && room == 4 || k == 2 && room >= 16 || k >= 3 && k <= 5 && room > 6 && room < 1<<20 {
			return yes
		}
		return l7.No
	case opError:
		code, n := c.U32(), int(c.U16())
		if c.Short() {
			return l7.More
		}
		if code <= 0x2fff && n > 0 && n <= room-6 {
			return yes
		}
		return l7.No
	case opSupported:
		if n := c.U16(); !c.Short() && (n == 0 || n > 64) {
			return l7.No
		}
		if k := int(c.U16()); c.Len() >= 3 {
			if k >= 3 && k < 64 && c.Rest()[0] >= 'A' && c.Rest()[0] <= 'Z' && c.Rest()[2] >= 'A' && c.Rest()[2] <= 'Z' {
				return yes
			}
			return l7.No
		}
		return l7.More
	}
	return l7.No
}

// parser is one connection.
type parser struct {
	opt      *l7.Options
	keyspace string
	known    prepared
}

// Resync: statements stay as they are; preparations whose answer may have been
// lost do not.
func (p *parser) Resync(l7.Side) { p.known.waiting = nil }

// Find looks for a header and what belongs behind it.
func (p *parser) Find(side l7.Side, b []byte) int {
	want := l7.Request
	if side == l7.Server {
		want = l7.Response
	}
	for i := 0; i+headLen <= len(b); i++ {
		if v := b[i] & 0x7f; v < 3 || v > 5 || b[i]>>7 != byte(side) {
			continue
		}
		if detect(b[i:]) == want {
			return i
		}
	}
	return -1
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < headLen {
		return 0, l7.ErrMore
	}
	h := readHeader(b)
	if !h.valid() || h.response != (side == l7.Server) {
		return 0, l7.ErrLost
	}
	if need := min(h.n, maxLook); len(b) < need && !w.End {
		return 0, l7.ErrMore
	}
	m.Stream = uint64(h.stream)
	m.Version = version(h.version)
	c := l7.NewCursor(b[headLen:min(h.n, len(b), maxLook)])
	if side == l7.Client {
		p.request(h, c, m)
		return h.n, nil
	}
	m.Type = l7.TypeResponse
	if h.op == opEvent {
		return h.n, l7.ErrSkip
	}
	p.answer(h, c, m)
	return h.n, nil
}

func version(v byte) string {
	switch v {
	case 3:
		return "3"
	case 4:
		return "4"
	}
	return "5"
}

// words names the operations that are no statement, and statements that cannot
// be read.
func words(op byte) string {
	switch op {
	case opStartup:
		return "STARTUP"
	case opOptions:
		return "OPTIONS"
	case opQuery:
		return "QUERY"
	case opPrepare:
		return "PREPARE"
	case opExecute:
		return "EXECUTE"
	case opRegister:
		return "REGISTER"
	case opBatch:
		return "BATCH"
	case opResponse:
		return "AUTH_RESPONSE"
	}
	return ""
}

// text is a long string: four bytes of length, and as much as is there.
func text(c *l7.Cursor) (s []byte, whole bool) {
	n := int(int32(c.U32()))
	if c.Short() || n < 0 {
		return nil, false
	}
	if n > c.Len() {
		// Half a table's name is that of another table.
		for n = c.Len(); n > 0 && c.Rest()[n-1] != ' '; {
			n--
		}
		for n > 0 && (c.Rest()[n-1] == ' ' || c.Rest()[n-1] == ',') {
			n--
		}
		return c.Rest()[:n], false
	}
	return c.Take(n), true
}

func (p *parser) request(h header, c l7.Cursor, m *l7.Message) {
	m.Type, m.Domain = l7.TypeRequest, p.keyspace
	m.Session = strconv.Itoa(int(h.stream))
	// What a statement does is not known before it is read.
	if m.Name = words(h.op); h.op != opQuery && h.op != opExecute {
		m.Op = m.Name
	}
	if h.flags&flagCompressed != 0 {
		return
	}
	if h.flags&flagPayload != 0 {
		p.payload(&c, m)
	}
	switch h.op {
	case opQuery:
		s, whole := text(&c)
		p.read(s, m)
		if whole {
			consistency(&c, m)
		}
	case opPrepare:
		s, whole := text(&c)
		p.read(s, m)
		if whole {
			p.known.ask(h.stream, take(m))
		}
		m.Op, m.Name = "PREPARE", "PREPARE"
	case opExecute:
		id := c.Take(int(c.U16()))
		if c.Short() {
			return
		}
		if st := p.known.find(id); st != nil {
			st.give(m)
		}
		if h.version >= 5 {
			c.Skip(int(c.U16())) // id of the result's metadata
		}
		consistency(&c, m)
	case opBatch:
		c.Skip(1)
		n := c.U16()
		if c.Short() {
			return
		}
		if n > 1 {
			m.AddInt("db.operation.batch.size", int64(n))
		}
		if kind := c.U8(); kind == 0 {
			s, _ := text(&c)
			op, k := m.Op, len(m.Attrs)
			p.read(s, m)
			m.Op, m.Name, m.Attrs = op, op, m.Attrs[:k]
		} else if id := c.Take(int(c.U16())); kind == 1 && !c.Short() {
			if st := p.known.find(id); st != nil {
				m.Target, m.Route = st.text, st.table
			}
		}
	}
}

// read reads a statement into m.
func (p *parser) read(s []byte, m *l7.Message) {
	if len(s) > 0 {
		m.Name = ""
		sqltext.ReadAs(sqltext.Standard, p.opt, s, m)
	}
}

// payload passes over the custom payload, in which drivers may put ids.
func (p *parser) payload(c *l7.Cursor, m *l7.Message) {
	for range c.U16() {
		k := c.Take(int(c.U16()))
		n := int(int32(c.U32()))
		v := c.Take(max(n, 0))
		if c.Short() {
			return
		}
		p.opt.Header(m, k, v)
	}
}

// consistency reads the level that the client wants.
func consistency(c *l7.Cursor, m *l7.Message) {
	v := c.U16()
	levels := [...]string{"any", "one", "two", "three", "quorum", "all", "local_quorum", "each_quorum", "serial", "local_serial", "local_one"}
	if !c.Short() && int(v) < len(levels) {
		m.Add("cassandra.consistency.level", levels[v])
	}
}

func (p *parser) answer(h header, c l7.Cursor, m *l7.Message) {
	st, asked := p.known.answered(h.stream)
	if h.op == opError {
		m.Status = l7.StatusServerError
	} else {
		m.Status = l7.StatusOK
	}
	if h.version >= 5 && (h.op == opReady || h.op == opAuth) {
		// From here on the frames are inside other frames, with checksums.
		m.Opaque = true
	}
	if h.flags&flagCompressed != 0 {
		return
	}
	if h.flags&flagTracing != 0 {
		c.Skip(16)
	}
	if h.flags&flagWarning != 0 {
		for range c.U16() {
			c.Skip(int(c.U16()))
		}
	}
	if h.flags&flagPayload != 0 {
		var none l7.Message
		(&parser{opt: &l7.Options{}}).payload(&c, &none)
	}
	switch h.op {
	case opError:
		code := c.U32()
		s := c.Take(int(c.U16()))
		if code == 0 && c.Short() {
			return
		}
		m.Code = m.Text.Copy(strconv.AppendUint(nil, uint64(code), 10))
		m.Status = status(code)
		m.Error = p.message(s, m)
	case opResult:
		switch c.U32() {
		case 3:
			if s := c.Take(int(c.U16())); !c.Short() {
				p.keyspace = string(s)
			}
		case 4:
			if id := c.Take(int(c.U16())); !c.Short() && asked {
				p.known.keep(id, st)
			}
		}
	}
}

// message is the text of an error, without what it quotes.
func (p *parser) message(s []byte, m *l7.Message) string {
	if p.opt.MaxText > 0 && len(s) > p.opt.MaxText {
		s = s[:p.opt.MaxText]
	}
	if !p.opt.KeepLiterals {
		for i, c := range s {
			if c == '\'' {
				s = s[:i]
				break
			}
		}
	}
	return m.Text.Copy(s)
}

// status tells whose fault an error is.
func status(code uint32) l7.Status {
	switch {
	case code == 0x000a, code == 0x0100, code >= 0x2000:
		return l7.StatusClientError
	}
	return l7.StatusServerError
}
