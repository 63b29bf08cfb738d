// Package mongodb reads MongoDB's wire protocol
// (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/):
// OP_MSG of today's servers, the operations of those before 3.6, and, from the
// outside, OP_COMPRESSED.
package mongodb

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is MongoDB.
var Protocol = &l7.Protocol{
	Name:      "mongodb",
	Transport: l7.TCP,
	Ports:     []uint16{27017, 27018, 27019},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{Op: "db.operation.name", Target: "db.query.text", Route: "db.collection.name",
		Code: "db.response.status_code", Domain: "db.namespace"},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "mongodb"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

// Operations.
const (
	opReply       = 1
	opUpdate      = 2001
	opInsert      = 2002
	opQuery       = 2004
	opGetMore     = 2005
	opDelete      = 2006
	opKillCursors = 2007
	opCompressed  = 2012
	opMsg         = 2013
)

const (
	headerLen = 16
	// maxMessage is maxMessageSizeBytes of all servers.
	maxMessage = 48_000_000
	// maxLook is how much of a message is looked at: the command with its filter
	// is in front, what is inserted and found is behind.
	maxLook = 4 << 10
	// maxText bounds a command's text, less than Options.MaxText by default: it
	// is put together in the scratch.
	maxText = l7.ScratchLen
)

// Flags of OP_MSG. The other bits below 16 must be zero.
const (
	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
	flagExhaust    = 1 << 16
	flagsKnown     = flagChecksum | flagMoreToCome | flagExhaust
)

type header struct {
	n      int // of the whole message
	id, to uint32
	op     uint32
}

func readHeader(b []byte) (h header) {
	h.n = int(int32(binary.LittleEndian.Uint32(b)))
	h.id = binary.LittleEndian.Uint32(b[4:])
	h.to = binary.LittleEndian.Uint32(b[8:])
	h.op = binary.LittleEndian.Uint32(b[12:])
	return h
}

// valid: the length can be that of a message of this operation.
func (h *header) valid() bool {
	least := headerLen
	switch h.op {
	case opMsg:
		least += 4 + 1 + minDoc
	case opReply:
		least += 20
	case opQuery:
		least += 4 + 2 + 8 + minDoc
	case opCompressed:
		least += 9
	case opUpdate, opInsert, opDelete, opGetMore:
		least += 4 + 2
	case opKillCursors:
		least += 8
	default:
		return false
	}
	return h.n >= least && h.n <= maxMessage
}

// parser is one connection.
type parser struct {
	opt *l7.Options
	// write is the request whose answer counts what it changed.
	write   uint32
	writing bool
	// An exhaust cursor: answers follow one another, each to the one before.
	chained bool
	chain   uint32 // what the next one answers
	first   uint64 // what they all answer
	quiet   bool   // they are news of a topology, not part of the exchange
}

// Resync: of the state only what spans messages is in doubt.
func (p *parser) Resync(side l7.Side) {
	if side == l7.Server {
		p.chained = false
	}
	p.writing = false
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < headerLen {
		return 0, l7.ErrMore
	}
	h := readHeader(b)
	if !h.valid() {
		return 0, l7.ErrLost
	}
	if look := min(h.n, maxLook); len(b) < look {
		if !w.End {
			return 0, l7.ErrMore
		}
	} else {
		b = b[:look]
	}
	b = b[headerLen:]
	if side == l7.Client {
		return p.request(h, b, m)
	}
	return p.response(h, b, m)
}

func (p *parser) request(h header, b []byte, m *l7.Message) (int, error) {
	m.Type, m.Stream = l7.TypeRequest, uint64(h.id)
	m.Session = number(m.Text, uint64(h.id))
	switch h.op {
	case opMsg:
		c := l7.NewCursor(b)
		flags := c.U32LE()
		if flags&0xffff&^flagsKnown != 0 {
			return 0, l7.ErrLost
		}
		if flags&flagMoreToCome != 0 {
			m.Type = l7.TypeOneWay
		}
		p.sections(h, c.Rest(), m)
	case opQuery:
		c := l7.NewCursor(b)
		c.Skip(4)
		ns := c.Until(0)
		c.Skip(8) // to skip, to return
		if c.Short() {
			namespace(m, ns)
			break
		}
		db, coll := split(ns)
		m.Domain = m.Text.Word(db)
		doc, _ := document(c.Rest())
		if string(coll) == "$cmd" || string(coll) == "$cmd.sys.inprog" {
			p.command(h, doc, m)
			break
		}
		m.Op, m.Route = "query", m.Text.Word(coll)
		p.text(doc, m)
	case opGetMore:
		p.plain("getMore", b, m)
	case opInsert:
		m.Type = l7.TypeOneWay
		p.plain("insert", b, m)
	case opUpdate:
		m.Type = l7.TypeOneWay
		p.plain("update", b, m)
	case opDelete:
		m.Type = l7.TypeOneWay
		p.plain("delete", b, m)
	case opKillCursors:
		m.Type, m.Op = l7.TypeOneWay, "killCursors"
	case opCompressed:
		if c := l7.NewCursor(b); c.U32LE() != opMsg && !c.Short() {
			if op := binary.LittleEndian.Uint32(b); op != opQuery && op != opGetMore {
				m.Type = l7.TypeOneWay
			}
		}
	default:
		return 0, l7.ErrLost // an answer, from the client
	}
	return h.n, nil
}

// plain reads the operations that were before commands: int32, namespace.
func (p *parser) plain(op string, b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	c.Skip(4)
	m.Op = op
	namespace(m, c.Until(0))
}

func namespace(m *l7.Message, ns []byte) {
	db, coll := split(ns)
	m.Domain, m.Route = m.Text.Word(db), m.Text.Word(coll)
}

func split(ns []byte) (db, coll []byte) {
	for i, c := range ns {
		if c == '.' {
			return ns[:i], ns[i+1:]
		}
	}
	return ns, nil
}

// sections reads those of an OP_MSG: one with the command, others with what it
// is to insert, update, delete.
func (p *parser) sections(h header, b []byte, m *l7.Message) {
	room := h.n - headerLen - 4 - len(b) // what was not looked at
	for len(b) > 0 {
		kind := b[0]
		b = b[1:]
		switch kind {
		case 0:
			doc, n := document(b)
			if n == 0 {
				return
			}
			p.command(h, doc, m)
			if n > len(b) {
				return
			}
			b = b[n:]
		case 1:
			if len(b) < 4 {
				return
			}
			n := int(int32(binary.LittleEndian.Uint32(b)))
			if n < 4 || n > len(b)+room {
				return
			}
			if n > len(b) {
				return // which command it is for comes too late, or came before
			}
			c := l7.NewCursor(b[4:n])
			c.Until(0)
			docs := 0
			for c.Len() > 0 {
				_, k := document(c.Rest())
				if k == 0 || k > c.Len() {
					docs = 0
					break
				}
				c.Skip(k)
				docs++
			}
			// The convention wants the size of a batch, and one is no batch.
			if docs > 1 {
				m.AddInt("db.operation.batch.size", int64(docs))
			}
			b = b[n:]
		default:
			return
		}
	}
}

// command reads what a command says of itself: its name is its first field.
func (p *parser) command(h header, doc elements, m *l7.Message) {
	all := doc
	x, ok := doc.next()
	if !ok {
		return
	}
	if s := string(x.name); (s == "$query" || s == "query") && x.typ == tDoc {
		// Before 3.6 a read preference wrapped the command.
		p.command(h, x.elements(), m)
		return
	}
	name, known := commandName(x.name)
	if known {
		m.Op = name
		m.Route = m.Text.Word(x.str())
	} else {
		m.Op = m.Text.Word(x.name[:min(len(x.name), 64)])
	}
	switch m.Op {
	case "insert", "update", "delete", "findAndModify", "findandmodify":
		p.write, p.writing = h.id, true
	}
	w := p.writer(known, m)
	w.put('{')
	for first := true; ; {
		x, ok := all.next()
		if !ok {
			break
		}
		switch string(x.name) {
		case "$db":
			m.Domain = m.Text.Word(x.str())
		case "collection":
			if m.Op == "getMore" {
				m.Route = m.Text.Word(x.str())
			}
		case "comment":
			p.comment(&x, m)
		}
		if w.full || session(x.name) {
			continue // the names above come last
		}
		w.key(x.name, first)
		w.value(&x, 0)
		first = false
	}
	w.close('}', all)
	m.Target = m.Text.Word(w.b[:w.n])
}

// comment: drivers put ids there, as a document of headers.
func (p *parser) comment(x *element, m *l7.Message) {
	if x.typ != tDoc {
		return
	}
	e := x.elements()
	for {
		f, ok := e.next()
		if !ok {
			return
		}
		if v := f.str(); v != nil {
			p.opt.Header(m, f.name, v)
		}
	}
}

func (p *parser) text(doc elements, m *l7.Message) {
	w := p.writer(false, m)
	w.object(doc, 0)
	m.Target = m.Text.Word(w.b[:w.n])
}

// writer is one for the text of m. names: the first value is a collection's name.
func (p *parser) writer(names bool, m *l7.Message) writer {
	w := writer{limit: maxText, names: names, keep: p.opt.KeepLiterals, b: m.Text.Scratch()[:]}
	if 0 < p.opt.MaxText && p.opt.MaxText < maxText {
		w.limit = p.opt.MaxText
	}
	return w
}
